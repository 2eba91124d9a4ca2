"""Branch and bound over boxes of the input, for networks with few inputs or smooth operators."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.methods.joint import related
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.graph.whole import whole_places
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.margins import Margins
from boundmesh.runtime.clock import Clock
from boundmesh.search.box_bounder import MOST_NUMBERS, BoxBounder
from boundmesh.search.contract import contract
from boundmesh.search.frontier import Frontier
from boundmesh.search.input_boxes import BoundedBoxes, InputBoxes, apart, halve, whole_ends
from boundmesh.search.parallel.division import Corners, Division, Outcome, active, divided
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.parallel.shared import Shared
from boundmesh.search.searcher import Look, give_way
from boundmesh.settings import BranchSettings
from boundmesh.verdict import POSITIVE

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
        self.problem, self.margins, self.offset = problem, margins, offset[kept]
        self.clock, self.look, self.device = clock, look, problem.layout.device
        self.related = related(problem)
        whole = torch.from_numpy(whole_places(problem.program.graph.inputs))
        self.whole = whole.to(self.device) if bool(whole.any()) else None
        self.belongs = torch.zeros(len(margins.members), len(kept))
        for clause in range(len(margins.members)):
            self.belongs[clause, list(margins.rows_of(clause))] = 1
        self.frontier: Frontier[InputBoxes] = Frontier()
        self.search = SearchAccount()
        meetings = meetings or Meetings()
        self.groups, self.shared = meetings.groups, Shared(self, meetings)
        self.batch = (settings.batch or _default_batch(problem, len(kept))) * self.groups.ranks

    @cached_property
    def bounder(self) -> BoxBounder:
        """Bounds boxes for the clauses of this search."""
        return BoxBounder(self.problem, self.margins, self.offset, self.related)

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
        working = active(boxes)
        bounded = self.bounder.bound(boxes.region)
        bounded = self.bounder.precise(bounded, working, Division(self.groups))
        if not bool(working.all()):
            bounded = bounded.take(working.nonzero().flatten())
        still = outcome.account.count(bounded.margin)
        outcome.account.visited += len(still)
        bounded = bounded.take(still.nonzero().flatten())
        outcome.corners += self._corners(bounded)
        parts = self._halve(bounded, outcome.account)
        if parts is not None:
            outcome.open.append(parts)
        return outcome

    def _halve(self, boxes: BoundedBoxes, account: SearchAccount) -> InputBoxes | None:
        """Halve boxes along the input that costs their bounds most.

        Before and after, the boxes are cut to where a clause can hold. A box is halved only once,
        since the best next halving depends on the bounds of the halves.
        """
        boxes = self._at_whole(boxes)
        divisible = apart(boxes.region).any(1)
        account.give_up(boxes.margin[~divisible])
        boxes = boxes.take(divisible.nonzero().flatten())
        boxes, left = self._cut(boxes, ~(boxes.clauses > 0), account)
        if not len(left):
            return None
        cost = torch.where(apart(boxes.region), self._cost(boxes, left), -torch.inf)
        halves = halve(boxes.region, cost.argmax(1), self.whole)
        again = torch.arange(len(left), device=left.device).repeat(2)
        boxes, left = self._cut(replace(boxes.take(again), region=halves), left[again], account)
        boxes = self._at_whole(boxes)
        return InputBoxes(boxes.margin, boxes.region.lower, boxes.region.upper)

    def _at_whole(self, boxes: BoundedBoxes) -> BoundedBoxes:
        """Cut boxes to the whole numbers of whole inputs; drop those that have none."""
        if self.whole is None:
            return boxes
        region = whole_ends(boxes.region, self.whole)
        there = (region.lower <= region.upper).flatten(1).all(1)
        return replace(boxes, region=region).take(there.nonzero().flatten())

    def _cut(
        self, boxes: BoundedBoxes, wanted: Tensor, account: SearchAccount
    ) -> tuple[BoundedBoxes, Tensor]:
        """Cut boxes to where a clause of `wanted` can hold; drop those where none can.

        Returns the boxes that are left, and the clauses that can hold in each.
        """
        members = self.bounder.members.to(wanted.device)
        if not self.bounder.together or members.numel() * boxes.region.lower.numel() > MOST_NUMBERS:
            return boxes, wanted
        region, empty = contract(boxes.region, boxes.rows, boxes.constants, members, wanted)
        left = wanted & ~empty
        some = left.any(1).nonzero().flatten()
        if len(some) < len(left):
            # Where atoms hold nowhere together, their clause's margin is positive but not known.
            account.proved = min(account.proved, POSITIVE)
        return replace(boxes, region=region).take(some), left[some]

    def _cost(self, boxes: BoundedBoxes, left: Tensor) -> Tensor:
        """Estimate how much each input's width costs the rows of the clauses `left`, `[D, inputs]`.

        A row falls along an input by coefficient times width. The error of its lines grows with
        the width alone. The score is the geometric mean of both. An input along which no row falls
        may still matter to the lines, so it gets a small score.
        """
        rows, region = boxes.rows.flatten(2), boxes.region
        counts = torch.matmul(left.to(rows), self.belongs.to(rows)).unsqueeze(1)
        reach = torch.matmul(counts, rows.abs()).squeeze(1)
        least = (LEAST_REACH * reach.amax(1, True)).clamp(min=torch.finfo(reach.dtype).tiny)
        return torch.maximum(reach, least).sqrt() * (region.upper - region.lower).flatten(1)

    def _corners(self, boxes: BoundedBoxes) -> list[Corners]:
        """Return the points where the worst bounds are attained; none if there are no boxes."""
        if not len(boxes.clauses):
            return []
        worst = boxes.take(torch.topk(-boxes.margin, min(8, len(boxes.margin))).indices)
        row = worst.rowwise.argmax(1)
        worst_row = worst.rows[torch.arange(len(row), device=row.device), row].unsqueeze(1)
        return [Corners(worst.margin, worst.region.minimizer(worst_row).squeeze(1))]


def _default_batch(problem: Problem, rows: int) -> int:
    widest = problem.program.widest(problem.program.target)
    elements = 2**28 if problem.layout.device.type == "cuda" else 2**22
    return max(16, min(16384, elements // (widest * max(rows, widest))))
