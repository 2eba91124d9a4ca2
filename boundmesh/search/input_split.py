"""Branch and bound over boxes of the input, for networks with few inputs or smooth operators."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.joint import joint_lines, related
from boundmesh.bounds.methods.mixture import mixed_margin
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.backward import input_rows
from boundmesh.bounds.sweep.region import BoxRegion, part_of
from boundmesh.bounds.sweep.rounding_errors import Errors, lowered
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.tile_state import TileState
from boundmesh.graph.whole import whole_places
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.margins import Margins, rounded_up
from boundmesh.runtime.clock import Clock
from boundmesh.search.contract import contract
from boundmesh.search.float64_bounds import pays, region_in_double
from boundmesh.search.frontier import Frontier
from boundmesh.search.input_boxes import BoundedBoxes, InputBoxes, apart, halve, whole_ends
from boundmesh.search.parallel.division import Corners, Division, Outcome, active, divided
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.parallel.shared import Shared
from boundmesh.search.searcher import Look, give_way
from boundmesh.settings import BranchSettings
from boundmesh.verdict import POSITIVE

# Mixtures of rows are tried, and boxes are cut, where that takes at most so many numbers.
MOST_NUMBERS = 2**26
# Every input counts for at least this share of the input that the rows depend on most.
LEAST_REACH = 1e-4


class InputSplitting:
    """Branch and bound on boxes until every clause is refuted on every one."""

    def __init__(
        self,
        problem: Problem,
        margins: Margins,
        offset: Tensor,
        settings: BranchSettings,
        clock: Clock,
        look: Look,
        meetings: Meetings | None = None,
    ) -> None:
        margins, kept = margins.needed()
        offset = offset[kept]
        self.problem, self.margins, self.clock, self.look = problem, margins, clock, look
        self.device, layout = problem.layout.device, problem.layout
        rows = torch.arange(len(offset))
        self.rows = margins.dense(rows, layout.dtype, layout.device)
        self.offset = offset.to(layout.device)
        self._exact_offset, self._settings = offset, settings
        whole = torch.from_numpy(whole_places(problem.program.graph.inputs))
        self.whole = whole.to(layout.device) if bool(whole.any()) else None
        self.related = related(problem)
        self.members = margins.table
        # Without atoms that must hold together, there is nothing to mix, and nothing cuts a box.
        self.mixes = all(margins.members)
        self.belongs = torch.zeros(len(self.members), len(offset))
        for clause in range(len(self.members)):
            self.belongs[clause, list(margins.rows_of(clause))] = 1
        self.frontier: Frontier[InputBoxes] = Frontier()
        self.search = SearchAccount()
        meetings = meetings or Meetings()
        self.groups, self.shared = meetings.groups, Shared(self, meetings)
        self.batch = (settings.batch or _default_batch(problem, len(rows))) * self.groups.ranks

    def run(self, region: BoxRegion, limit: float = float("inf")) -> SearchAccount:
        """Search until all clauses are refuted on every box of `region`.

        The search stops with open boxes once `limit` boxes have been bounded. Raises OutOfTime.
        """
        if self.shared.begins:
            unknown = region.lower.new_full((region.domains,), -torch.inf, dtype=torch.float64)
            self.frontier.push(InputBoxes(unknown, region.lower, region.upper))
        return self.go_on(limit)

    def go_on(self, limit: float = float("inf")) -> SearchAccount:
        """Work on the frontier until it is empty, or until `limit` boxes were bounded in all."""
        while self.shared.goes_on(self.frontier, limit):
            boxes = self.frontier.pop(self.batch)
            with give_way(self, boxes):
                divided(self, boxes, self._split)
        return self.shared.whole

    @torch.no_grad()
    def _split(self, boxes: InputBoxes) -> Outcome[InputBoxes]:
        """Bound this rank's share of a batch, and halve the boxes that stay open."""
        outcome = Outcome[InputBoxes]()
        found = self._precise(self._bound(boxes.region), active(boxes))
        working = active(boxes)
        if not bool(working.all()):
            found = found.take(working.nonzero().flatten())
        still = outcome.account.count(found.margin)
        outcome.account.visited += len(still)
        found = found.take(still.nonzero().flatten())
        outcome.corners += self._corners(found)
        parts = self._halve(found, outcome.account)
        if parts is not None:
            outcome.open.append(parts)
        return outcome

    def _precise(self, found: BoundedBoxes, working: Tensor) -> BoundedBoxes:
        """Return `found` with margins computed in float64 where only rounding prevents a proof.

        As soon as one rank has such a box, every rank takes part.
        """
        coarse = self.problem
        if coarse.rounding is None or coarse.layout.dtype == torch.float64:
            return found
        nominal = self.margins.clauses(found.rowwise + found.lost)
        hidden = working & ((found.clauses <= 0) & (nominal > 0)).any(1)
        if not pays(hidden, working, Division(self.groups)):
            return found
        which = hidden.nonzero().flatten()
        some = which if len(which) else torch.zeros(1, dtype=torch.long, device=which.device)
        region = region_in_double(part_of(found.region, some))
        assert isinstance(region, BoxRegion)
        sharp = self._fine._bound(region).clauses[: len(which)]
        clauses = found.clauses.clone()
        clauses[which] = torch.fmax(clauses[which], sharp)
        return replace(found, clauses=clauses)

    @cached_property
    def _fine(self) -> InputSplitting:
        """The same search in float64; only its bounds are used."""
        coarse = self.problem
        assert coarse.rounding is not None
        fine = coarse.rounding.in_float64()
        problem = replace(coarse, layout=coarse.layout.in_float64(), rounding=fine)
        return InputSplitting(
            problem, self.margins, self._exact_offset, self._settings, self.clock, self.look
        )

    def _bound(self, region: BoxRegion) -> BoundedBoxes:
        """Bound boxes."""
        problem = replace(self.problem, region=region, layout=self.problem.layout.own_domains)
        known = intermediate_bounds(problem, by_rows=True, keep_best=True)
        tile = Tile(problem.program.target, slice(0, len(self.offset)), self.rows)
        draw, watch = joint_lines(problem, known, self.related), frozenset[str]()
        carried = input_rows(problem.layout, problem.program, tile, draw, watch, known.errors)
        name = problem.program.graph.input
        lowest = carried.minimum(name, region).double()
        rowwise, error = lowest - self.offset, carried.total_error(name)
        # As much as `lowered` takes off, or a little more.
        lost = 1e-5 * lowest.abs()
        if error is not None:
            lost = (lost + 1.02 * error.double()).expand_as(rowwise)
        mixed = self._mixtures(region, carried, rowwise)
        rows = carried.at_input(name, self.rows.coefficients).expand(
            *rowwise.shape, *region.lower.shape[1:]
        )
        bias = rows.new_zeros(()) if carried.bias is None else carried.bias
        constants = (bias.double() - self.offset).expand(rowwise.shape)
        constants = lowered(constants, None if error is None else error.double(), known.errors)
        clauses = torch.maximum(self.margins.clauses(rowwise), mixed)
        return BoundedBoxes(region, rows, constants, rowwise, clauses, lost)

    def _halve(self, found: BoundedBoxes, account: SearchAccount) -> InputBoxes | None:
        """Halve boxes along the input that costs their bounds most.

        Before and after, the boxes are cut to where a clause can hold. A box is halved only once,
        since the best next halving depends on the bounds of the halves.
        """
        found = self._at_whole(found)
        able = apart(found.region).any(1)
        account.give_up(found.margin[~able])
        found = found.take(able.nonzero().flatten())
        found, left = self._cut(found, ~(found.clauses > 0), account)
        if not len(left):
            return None
        cost = torch.where(apart(found.region), self._cost(found, left), -torch.inf)
        halves = halve(found.region, cost.argmax(1), self.whole)
        again = torch.arange(len(left), device=left.device).repeat(2)
        found, left = self._cut(replace(found.take(again), region=halves), left[again], account)
        found = self._at_whole(found)
        return InputBoxes(found.margin, found.region.lower, found.region.upper)

    def _at_whole(self, found: BoundedBoxes) -> BoundedBoxes:
        """Cut boxes to the whole numbers of whole inputs; drop those that have none."""
        if self.whole is None:
            return found
        region = whole_ends(found.region, self.whole)
        there = (region.lower <= region.upper).flatten(1).all(1)
        return replace(found, region=region).take(there.nonzero().flatten())

    def _cut(
        self, found: BoundedBoxes, wanted: Tensor, account: SearchAccount
    ) -> tuple[BoundedBoxes, Tensor]:
        """Cut boxes to where a clause of `wanted` can hold; drop those where none can.

        Returns the boxes that are left, and the clauses that can hold in each.
        """
        members = self.members.to(wanted.device)
        if not self.mixes or members.numel() * found.region.lower.numel() > MOST_NUMBERS:
            return found, wanted
        region, empty = contract(found.region, found.rows, found.constants, members, wanted)
        left = wanted & ~empty
        some = left.any(1).nonzero().flatten()
        if len(some) < len(left):
            # Where atoms hold nowhere together, their clause's margin is positive but not known.
            account.proved = min(account.proved, POSITIVE)
        return replace(found, region=region).take(some), left[some]

    def _mixtures(self, region: BoxRegion, carried: TileState, rowwise: Tensor) -> Tensor:
        """Return the margins `[D, clauses]` of the best mixtures of each clause's rows.

        They are −∞ for clauses of one atom, and where mixtures would take too many numbers.
        """
        members, domains = self.members.to(rowwise.device), len(rowwise)
        unknown = rowwise.new_full((domains, len(members)), -torch.inf)
        rows = carried.dense_at(self.problem.program.graph.input)
        if rows is None or members.shape[1] == 1 or not self.mixes:
            return unknown
        if domains * members.numel() * rows[0, 0].numel() > MOST_NUMBERS:
            return unknown
        every = BoxRegion(
            region.lower.repeat_interleave(len(members), 0),
            region.upper.repeat_interleave(len(members), 0),
        )
        offset = rounded_up(self.offset, rows.dtype)
        constants = (0 if carried.bias is None else carried.bias) - offset
        constants = constants.expand(rowwise.shape)[:, members].flatten(0, 1)
        error = carried.total_error(self.problem.program.graph.input)
        if error is not None:
            error = error.expand(rowwise.shape)[:, members].flatten(0, 1)
        rows = rows.expand(*rowwise.shape, *rows.shape[2:])[:, members].flatten(0, 1)
        found, _ = mixed_margin(every, rows, constants, error, _repeated(carried, len(members)))
        found = found.reshape(domains, len(members))
        return found.double().nan_to_num(nan=-torch.inf)

    def _cost(self, found: BoundedBoxes, left: Tensor) -> Tensor:
        """Estimate how much each input's width costs the rows of the clauses `left`, `[D, inputs]`.

        A row falls along an input by coefficient times width. The error of its lines grows with
        the width alone. The score is the geometric mean of both. An input along which no row falls
        may still matter to the lines, so it gets a small score.
        """
        rows, region = found.rows.flatten(2), found.region
        counts = torch.matmul(left.to(rows), self.belongs.to(rows)).unsqueeze(1)
        reach = torch.matmul(counts, rows.abs()).squeeze(1)
        least = (LEAST_REACH * reach.amax(1, True)).clamp(min=torch.finfo(reach.dtype).tiny)
        return torch.maximum(reach, least).sqrt() * (region.upper - region.lower).flatten(1)

    def _corners(self, found: BoundedBoxes) -> list[Corners]:
        """Return the points where the worst bounds are attained; none if there are no boxes."""
        if not len(found.clauses):
            return []
        worst = found.take(torch.topk(-found.margin, min(8, len(found.margin))).indices)
        row = worst.rowwise.argmax(1)
        at = worst.rows[torch.arange(len(row), device=row.device), row].unsqueeze(1)
        return [Corners(worst.margin, worst.region.minimizer(at).squeeze(1))]


def _repeated(carried: TileState, times: int) -> Errors | None:
    """Repeat the errors of each domain `times` times."""
    errors = carried.errors
    if errors is None or errors.lost is None or len(errors.lost) == 1:
        return errors
    return replace(errors, lost=errors.lost.repeat_interleave(times, 0))


def _default_batch(problem: Problem, rows: int) -> int:
    widest = problem.program.widest(problem.program.target)
    elements = 2**28 if problem.layout.device.type == "cuda" else 2**22
    return max(16, min(16384, elements // (widest * max(rows, widest))))
