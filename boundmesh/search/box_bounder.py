"""Bounds boxes of the input: each row by CROWN, clauses by mixtures of rows, and in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.joint import joint_lines
from boundmesh.bounds.methods.mixture import mixed_margin
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.region import BoxRegion, part_of
from boundmesh.bounds.sweep.rounding_errors import Errors, lowered
from boundmesh.bounds.sweep.rows import DenseRows, Tile
from boundmesh.bounds.sweep.tile_state import TileState
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.proof.margins import Margins, rounded_up
from boundmesh.search.float64_bounds import pays, region_in_double
from boundmesh.search.input_boxes import BoundedBoxes
from boundmesh.search.parallel.division import Division

# Mixtures of rows are tried, and boxes are cut, where that takes at most so many numbers.
MOST_NUMBERS = 2**26


@dataclass(frozen=True)
class BoxBounder:
    """Bounds boxes for the clauses of a question.

    problem  the network, the layout, and the region that the boxes are parts of
    margins  the clauses as S rows of the output
    offset   `[S]`, float64: the number that the lower bound of each row must exceed
    related  the start nodes whose relations to one another sharpen bounds of products
    """

    problem: Problem
    margins: Margins
    offset: Tensor
    related: frozenset[str]

    @cached_property
    def rows(self) -> DenseRows:
        """The rows of the output, on the device that bounds them."""
        layout = self.problem.layout
        return self.margins.dense(torch.arange(len(self.offset)), layout.dtype, layout.device)

    @cached_property
    def members(self) -> Tensor:
        """The rows of the atoms of each clause that must hold together, `[clauses, most]`."""
        return self.margins.table

    @cached_property
    def together(self) -> bool:
        """True if each clause has atoms that must hold together: they cut boxes, and are mixed."""
        return all(self.margins.members)

    @cached_property
    def _offset(self) -> Tensor:
        return self.offset.to(self.problem.layout.device)

    def bound(self, region: BoxRegion) -> BoundedBoxes:
        """Bound the clauses on D boxes."""
        problem = replace(self.problem, region=region, layout=self.problem.layout.own_domains)
        known = intermediate_bounds(problem, by_rows=True, keep_best=True)
        tile = Tile(problem.program.target, slice(0, len(self.offset)), self.rows)
        draw, watch = joint_lines(problem, known, self.related), frozenset[str]()
        carried = input_rows(problem.layout, problem.program, tile, draw, watch, known.errors)
        name = problem.program.graph.input
        lowest, error = carried.minimum(name, region).double(), carried.total_error(name)
        rowwise = lowest - self._offset
        # As much as `lowered` takes off, or a little more.
        lost = 1e-5 * lowest.abs()
        if error is not None:
            lost = (lost + 1.02 * error.double()).expand_as(rowwise)
        mixed = self._mixtures(region, carried, rowwise)
        rows = carried.at_input(name, self.rows.coefficients).expand(
            *rowwise.shape, *region.lower.shape[1:]
        )
        bias = rows.new_zeros(()) if carried.bias is None else carried.bias
        constants = (bias.double() - self._offset).expand(rowwise.shape)
        constants = lowered(constants, None if error is None else error.double(), known.errors)
        clauses = torch.maximum(self.margins.clauses(rowwise), mixed)
        return BoundedBoxes(region, rows, constants, rowwise, clauses, lost)

    def precise(self, bounded: BoundedBoxes, working: Tensor, division: Division) -> BoundedBoxes:
        """Return `bounded` with margins computed in float64 where only rounding prevents a proof.

        `working` is the mask `[D]` of the boxes that this rank bounds. As soon as one rank has such
        a box, every rank takes part.
        """
        coarse = self.problem
        if coarse.rounding is None or coarse.layout.dtype == torch.float64:
            return bounded
        nominal = self.margins.clauses(bounded.rowwise + bounded.lost)
        hidden = working & ((bounded.clauses <= 0) & (nominal > 0)).any(1)
        if not pays(hidden, working, division):
            return bounded
        which = hidden.nonzero().flatten()
        some = which if len(which) else torch.zeros(1, dtype=torch.long, device=which.device)
        region = region_in_double(part_of(bounded.region, some))
        assert isinstance(region, BoxRegion)
        sharp = self._in_float64.bound(region).clauses[: len(which)]
        clauses = bounded.clauses.clone()
        clauses[which] = torch.fmax(clauses[which], sharp)
        return replace(bounded, clauses=clauses)

    @cached_property
    def _in_float64(self) -> BoxBounder:
        coarse = self.problem
        assert coarse.rounding is not None
        layout, rounding = coarse.layout.in_float64(), coarse.rounding.in_float64()
        return replace(self, problem=replace(coarse, layout=layout, rounding=rounding))

    def _mixtures(self, region: BoxRegion, carried: TileState, rowwise: Tensor) -> Tensor:
        """Return the margins `[D, clauses]` of the best mixtures of each clause's rows.

        They are −∞ for clauses of one atom, and where mixtures would take too many numbers.
        """
        members, domains = self.members.to(rowwise.device), len(rowwise)
        unknown = rowwise.new_full((domains, len(members)), -torch.inf)
        name = self.problem.program.graph.input
        rows = carried.dense_at(name)
        if rows is None or members.shape[1] == 1 or not self.together:
            return unknown
        if domains * members.numel() * rows[0, 0].numel() > MOST_NUMBERS:
            return unknown

        def repeated(values: Tensor) -> Tensor:
            """Return the values of the rows of each clause, `[D·clauses, most, …]`."""
            return values.expand(*rowwise.shape, *values.shape[2:])[:, members].flatten(0, 1)

        clause_boxes = BoxRegion(
            region.lower.repeat_interleave(len(members), 0),
            region.upper.repeat_interleave(len(members), 0),
        )
        bias = 0 if carried.bias is None else carried.bias
        constants = repeated(bias - rounded_up(self._offset, rows.dtype))
        error = carried.total_error(name)
        error = None if error is None else repeated(error)
        errors = _errors_of_clauses(carried, len(members))
        margins, _ = mixed_margin(clause_boxes, repeated(rows), constants, error, errors)
        return margins.reshape(domains, len(members)).double().nan_to_num(nan=-torch.inf)


def _errors_of_clauses(carried: TileState, clauses: int) -> Errors | None:
    """Return the errors of each domain, once for every clause."""
    errors = carried.errors
    if errors is None or errors.underflow is None or len(errors.underflow) == 1:
        return errors
    return replace(errors, underflow=errors.underflow.repeat_interleave(clauses, 0))
