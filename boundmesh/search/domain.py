"""Domains of branch and bound: batches of subproblems of one region."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.domain_bounds import BoundedDomains, DomainParameters
from boundmesh.bounds.relaxation.cuts import Cuts, no_cuts
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.operators.interval import Interval
from boundmesh.search.batches import Arrays, join


@dataclass(frozen=True)
class Domains(Arrays):
    """D subproblems of one region.

    margin   `[D]`        the best known margin, float64
    clause   `[D]`        the clause to be refuted
    splits   `[D, N]`     int8: +1 where z ≥ split point, −1 where z ≤ it, 0 where not split
    alpha    `[D, S, N]`  slopes, float16
    beta     `[D, S, N + M]`  multipliers ≥ 0 of splits and of M cuts, float16
    lower    `[D, n + U]` lower bounds of the values that clipping cuts: n inputs, U neurons;
                          `[D, 0]` without clipping
    upper    `[D, n + U]` upper bounds of the same values
    place    `[D, M]`     int32: the values that are cut, see `Cuts`; M = 0 where none can be
    sign     `[D, M]`     int8: +1 where value ≥ point, −1 where value ≤ it, 0 where there is no cut
    point    `[D, M]`     where they are cut
    """

    clause: Tensor
    splits: Tensor
    alpha: Tensor
    beta: Tensor
    lower: Tensor
    upper: Tensor
    place: Tensor
    sign: Tensor
    point: Tensor

    @property
    def box(self) -> Interval | None:
        """The bounds of the values that clipping cuts; None without clipping."""
        return Interval(self.lower, self.upper) if self.lower.shape[1] else None

    @property
    def parameters(self) -> DomainParameters:
        """The parameters with which the domains are bounded: splits, α, β, box and cuts."""
        cuts = self.cuts if self.sign.shape[1] and bool((self.sign != 0).any()) else None
        return DomainParameters(
            self.alpha.float(), self.beta.float(), self.splits, self.box, cuts=cuts
        )

    @property
    def cuts(self) -> Cuts:
        return Cuts(self.place, self.sign, self.point)

    def improved(self, bounded: BoundedDomains) -> Domains:
        """Return the domains with the better of both margins, and with the α and β of `bounded`."""
        return replace(
            self,
            margin=torch.maximum(bounded.margin.double(), self.margin),
            alpha=bounded.parameters.alpha.half(),
            beta=bounded.parameters.beta.half(),
        )

    @property
    def depth(self) -> int:
        """The most splits and cuts of any domain."""
        if not len(self):
            return 0
        return int(((self.splits != 0).sum(1) + (self.sign != 0).sum(1)).max())


def root(
    neurons: Neurons,
    clauses: Tensor,
    margins: Tensor,
    atoms: int,
    box: Interval | None = None,
    slots: int = 0,
) -> Domains:
    """Make one domain without splits for each of `clauses`.

    It starts with CROWN's slopes for `atoms` rows, and with the bounds `box` `[1, n + U]` of the
    values that clipping cuts. It has room for `slots` cuts.
    """
    count = len(clauses)
    alpha = neurons.initial.to(torch.float16).expand(count, atoms, -1).clone()
    splits = torch.zeros(count, neurons.count, dtype=torch.int8, device=alpha.device)
    if box is None:
        nothing = neurons.lower.new_zeros(1, 0)
        box = Interval(nothing, nothing)
    lower, upper = (ends.repeat(count, 1) for ends in (box.lower, box.upper))
    beta = alpha.new_zeros(*alpha.shape[:2], alpha.shape[2] + slots)
    none = no_cuts(count, slots, neurons.lower)
    return Domains(
        margins, clauses, splits, alpha, beta, lower, upper, none.place, none.sign, none.point
    )


def split(
    domains: Domains,
    neurons: Tensor,
    coefficients: Tensor,
    concave: Tensor | None = None,
    points: Tensor | None = None,
) -> Domains:
    """Split each domain by its m neurons `[D, m]` into 2^m children, one neuron after the other.

    The number N + c in place of a neuron stands for the value c that is cut at `points` `[D, C]`.

    The children of a domain cover it, as every point satisfies one sign at each neuron. Child c of
    domain d stands at c·D + d. A child starts with its parent's slopes and margin. In a child the
    neuron is linear, so its line with slope α is replaced. The child's β makes up for the
    difference, so that its bound is no worse than its parent's. Let A be the coefficient
    `[D, S, N]` of the neuron's output. Where A is positive, A·α·z = A·z − β·z with β = A·(1 − α)
    above the split, and A·α·z = 0 + β·z with β = A·α below it. For the neurons `concave` `[N]` the
    line above has slope α: the same holds where A is negative, with the signs reversed.
    """
    children = domains
    slope = domains.alpha.to(torch.float32)
    if concave is not None:
        coefficients = torch.where(concave, -coefficients, coefficients)
        slope = torch.where(concave, 1 - slope, slope)
    gain = coefficients.clamp(min=0).expand(domains.alpha.shape).to(torch.float32)
    lost = {1: (gain * (1 - slope)).half(), -1: (gain * slope).half()}
    for level in range(neurons.shape[1]):
        copies = len(children) // len(domains)
        chosen = neurons[:, level]
        value, point = chosen - domains.splits.shape[1], None
        if points is not None and bool((value >= 0).any()):
            point = points.gather(1, value.clamp(min=0)[:, None]).squeeze(1).repeat(copies)
        value = value.repeat(copies)
        place = chosen.repeat(copies).clamp(max=max(0, domains.splits.shape[1] - 1))[:, None]
        wide = place[:, :, None].expand(-1, children.beta.shape[1], 1)
        halves = []
        for sign, loss in lost.items():
            multiplier = loss.repeat(copies, 1, 1).gather(2, wide)
            half = replace(
                children,
                splits=children.splits.scatter(1, place, sign),
                beta=children.beta.scatter(2, wide, multiplier),
            )
            halves.append(half if point is None else _cut(children, half, value, point, sign))
        children = join(halves)
    return children


def _cut(domains: Domains, half: Domains, value: Tensor, point: Tensor, sign: int) -> Domains:
    """Return `half` where `value` `[D]` is negative, else the domains with one cut more.

    The cut takes the place of a cut on the same side of the same value, which it implies. A new
    multiplier is 0.
    """
    cut = (value >= 0).unsqueeze(1)
    same = (domains.place == value.unsqueeze(1)) & (domains.sign == sign)
    slot = torch.where(same.any(1), same.int().argmax(1), (domains.sign == 0).int().argmax(1))
    here = cut & (torch.arange(domains.sign.shape[1], device=slot.device) == slot.unsqueeze(1))
    return replace(
        half,
        splits=torch.where(cut, domains.splits, half.splits),
        beta=torch.where(cut.unsqueeze(2), domains.beta, half.beta),
        place=torch.where(here, value.unsqueeze(1).int(), domains.place),
        sign=torch.where(here, sign, domains.sign).to(torch.int8),
        point=torch.where(here, point.unsqueeze(1).to(domains.point), domains.point),
    )
