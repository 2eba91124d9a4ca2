"""Bounds domains once more in float64 where only the rounding of float32 prevents their proof.

A domain whose margin would be positive without the allowance for rounding needs no split. In
float64 the same lines, with the same α and β, lose about 10⁻⁹ as much to rounding.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.domain_bounds import BoundedDomains, DomainParameters
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.bounds.sweep.region import BallRegion, BoxRegion, Region, cut
from boundmesh.operators.interval import Interval
from boundmesh.proof.margins import Margins
from boundmesh.search.domain import Domains
from boundmesh.search.parallel.division import Division, active

ENOUGH = 32
"""A batch is bounded again if rounding prevents the proof of at least one in so many domains."""
TOGETHER = 256
"""The number of domains that are bounded in float64 at a time.

It is small, as the operators' own rules take more memory than kernels.
"""


class Precise:
    """Bounds domains of one region in float64. The float64 weights are made when first needed."""

    def __init__(
        self, bounder: DomainBounder, margins: Margins, offset: Tensor, division: Division
    ) -> None:
        self._coarse, self._margins, self._division = bounder, margins, division
        self._exact_offset = offset
        self._fine: DomainBounder | None = None

    def bound(self, domains: Domains, bounded: BoundedDomains) -> BoundedDomains:
        """Return `bounded` with margins computed in float64 where rounding prevents a proof.

        As soon as one rank has such a domain, every rank takes part.
        """
        coarse = self._coarse
        if coarse.errors is None or coarse.problem.layout.dtype == torch.float64:
            return bounded
        hidden = ~(bounded.margin > 0) & (bounded.margin + bounded.lost > 0)
        if not pays(hidden, active(domains), self._division):
            return bounded
        improved = domains.improved(bounded)
        chosen, left = self._division.going_on(improved, hidden)
        places = left.nonzero().flatten()
        parts = [*places.split(TOGETHER)]
        margins = [self._margins_of(chosen.take(part)) for part in self._as_often(parts)]
        if not bool(hidden.any()):
            return bounded
        sharp = torch.cat(margins).to(bounded.margin)
        margin = bounded.margin.clone()
        which = places[: len(sharp)]
        margin[which] = torch.fmax(margin[which], sharp)
        return replace(bounded, margin=margin)

    def _as_often(self, parts: list[Tensor]) -> list[Tensor]:
        """Keep as many parts as all ranks can bound in step: all for a lone rank, else one."""
        return parts if self._division.ranks == 1 else parts[:1]

    @torch.no_grad()
    def _margins_of(self, domains: Domains) -> Tensor:
        fine = self._bounder
        clauses = domains.clause
        table = self._margins.table
        rows = self._margins.rows(table.flatten(), torch.float64, clauses.device)[0]
        rows = rows.reshape(*table.shape, *rows.shape[1:])[clauses]
        offset = self._exact_offset[table].to(clauses.device)[clauses]
        return fine.bound(rows, offset, in_double(domains.parameters), watch=False).margin

    @property
    def _bounder(self) -> DomainBounder:
        if self._fine is None:
            self._fine = in_float64(self._coarse)
        return self._fine


def pays(hidden: Tensor, working: Tensor, division: Division) -> bool:
    """Return True if float64 pays on some rank; then all ranks take part.

    `hidden` `[D]` marks the domains that only rounding leaves open, and `working` `[D]` those that
    are not idle. To split a few domains costs less than to bound them again.
    """
    count = int(hidden.sum())
    enough = count > 0 and count * ENOUGH >= int(working.sum())
    return any(division.all_gather_objects(enough))


def in_float64(bounder: DomainBounder) -> DomainBounder:
    """Return a bounder of the same domains, with the same bounds, that computes in float64."""
    problem, rounding = bounder.problem, bounder.problem.rounding
    assert rounding is not None
    problem = replace(
        problem,
        layout=problem.layout.in_float64(),
        region=region_in_double(problem.region),
        rounding=rounding.in_float64(),
    )
    bounds = {name: box_in_double(box) for name, box in bounder.bounds.items()}
    neurons = bounder.neurons
    sharp = Neurons(
        neurons.unstable,
        neurons.columns,
        neurons.split_points.double(),
        neurons.concave,
        neurons.lower.double(),
        neurons.upper.double(),
    )
    values = bounder.values
    if values is not None:
        values = AffineValues(
            values.rows.double(),
            values.constants.double(),
            values.deviation.double(),
            values.places,
            values.shape,
        )
    cuttable = bounder.cuttable and bounder.cuttable.double()
    return DomainBounder(problem, bounds, sharp, values, cuttable)


def in_double(parameters: DomainParameters) -> DomainParameters:
    """Convert the parameters to float64, which is exact."""
    box = None if parameters.box is None else box_in_double(parameters.box)
    alpha, beta = parameters.alpha.double(), parameters.beta.double()
    cuts = parameters.cuts and parameters.cuts.double()
    return DomainParameters(alpha, beta, parameters.splits, box, cuts=cuts)


def box_in_double(box: Interval) -> Interval:
    return Interval(box.lower.double(), box.upper.double())


def region_in_double(region: Region) -> Region:
    """Convert the region to float64, which is exact."""
    if isinstance(region, BoxRegion):
        return BoxRegion(region.lower.double(), region.upper.double())
    ball = BallRegion(region.center.double(), region.radius.double(), region.p)
    if isinstance(region, BallRegion):
        return ball
    return cut(ball, region.lower.double(), region.upper.double())
