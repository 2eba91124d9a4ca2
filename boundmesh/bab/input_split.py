"""Branch and bound over boxes of the input, for networks with few inputs or smooth operators."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bab.arrays import Arrays
from boundmesh.bab.frontier import Frontier
from boundmesh.bab.groups import Meetings
from boundmesh.bab.search import Look, Search, give_way
from boundmesh.bab.shared import Shared
from boundmesh.bounds.backward import Carried, input_rows
from boundmesh.bounds.crown import Problem, intermediate_bounds
from boundmesh.bounds.lines import FixedLines
from boundmesh.bounds.margins import Margins
from boundmesh.bounds.mixture import mixed_margin
from boundmesh.bounds.region import BoxRegion
from boundmesh.bounds.rows import DenseRows, Tile
from boundmesh.clock import Clock
from boundmesh.settings import BranchSettings

# Mixtures of rows are tried where they take no more numbers than this.
MOST_NUMBERS = 2**26


@dataclass(frozen=True)
class Boxes(Arrays):
    """D boxes `lower ≤ x ≤ upper`, `[D, *input_shape]`; `reach` `[D, inputs]` is how much of the
    worst clause's bound each input's width costs."""

    lower: Tensor
    upper: Tensor
    reach: Tensor


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
        self.problem, self.margins, self.clock, self.look = problem, margins, clock, look
        self.settings = settings
        layout = problem.layout
        rows = torch.arange(len(offset))
        self.rows = margins.rows(rows, layout.dtype, layout.device)
        self.offset = offset.to(layout.device)
        self.members = margins.table
        self.frontier: Frontier[Boxes] = Frontier()
        self.search = Search()
        self.batch = settings.batch or _default_batch(problem, len(rows))
        meetings = meetings or Meetings()
        self.groups, self.shared = meetings.groups, Shared(self, meetings)

    def run(self, region: BoxRegion) -> Search:
        """Refute all clauses on every box of `region`; raises OutOfTime."""
        for first in range(0, region.domains if self.shared.begins else 0, self.batch):
            part = slice(first, first + self.batch)
            self._bound(region.lower[part], region.upper[part])
        while self.shared.goes_on(self.frontier):
            parents = self.frontier.pop(self.batch)
            with give_way(self, parents):
                children = self._branch(parents.to(self.problem.layout.device))
                if children is not None:
                    self._bound(*children)
        return self.shared.whole

    def _branch(self, parents: Boxes) -> tuple[Tensor, Tensor] | None:
        """Halve each box along the inputs that cost its bound most; several while it is cheap."""
        middle = (parents.lower + parents.upper) / 2
        apart = ((middle > parents.lower) & (middle < parents.upper)).flatten(1)
        able = apart.any(1)
        self.search.give_up(parents.margin[~able])
        parents, apart = parents.take(able), apart[able]
        if not len(parents):
            return None
        score = torch.where(apart, parents.reach, -torch.inf)
        fewest = int(apart.sum(1).min())
        levels = 1
        while len(parents) << (levels + 1) <= self.batch and levels < fewest:
            levels += 1
        return halve(parents.lower, parents.upper, torch.topk(score, levels, dim=1).indices)

    @torch.no_grad()
    def _bound(self, lower: Tensor, upper: Tensor) -> None:
        region = BoxRegion(lower, upper)
        problem = Problem(
            self.problem.program,
            region,
            self.problem.layout,
            self.problem.tile_elements,
            self.clock.check,
        )
        bounds = intermediate_bounds(problem, by_rows=True, keep_best=True).sharpest
        tile = Tile(problem.program.target, slice(0, len(self.offset)), DenseRows(self.rows))
        carried = input_rows(problem.layout, problem.program, tile, FixedLines(bounds), frozenset())
        name = problem.program.graph.input
        rowwise = carried.minimum(name, region).double() - self.offset
        table = torch.maximum(
            self.margins.clauses(rowwise), self._mixtures(region, carried, rowwise)
        )
        margin, worst = table.min(1)
        self.search.visited += len(lower)
        still = self.search.count(margin)
        rows = carried.at_input(name, self.rows)
        rows = rows.expand(*rowwise.shape, *lower.shape[1:]).flatten(2)
        reach = self._reach(rows, rowwise, worst) * (upper - lower).flatten(1)
        self.frontier.push(Boxes(margin, lower, upper, reach).take(still))
        self._look_at(region, rows, rowwise, margin, still)

    def _mixtures(self, region: BoxRegion, carried: Carried, rowwise: Tensor) -> Tensor:
        """The margins `[D, clauses]` of the best mixtures of the rows of clauses of several atoms;
        −∞ where there are none, or too many numbers."""
        members, domains = self.members.to(rowwise.device), len(rowwise)
        unknown = rowwise.new_full((domains, len(members)), -torch.inf)
        rows = carried.at.get(self.problem.program.graph.input)
        if rows is None or members.shape[1] == 1:
            return unknown
        if domains * members.numel() * rows[0, 0].numel() > MOST_NUMBERS:
            return unknown
        every = BoxRegion(
            region.lower.repeat_interleave(len(members), 0),
            region.upper.repeat_interleave(len(members), 0),
        )
        constants = (0 if carried.bias is None else carried.bias) - self.offset.to(rows.dtype)
        constants = constants.expand(rowwise.shape)[:, members].flatten(0, 1)
        rows = rows.expand(*rowwise.shape, *rows.shape[2:])[:, members].flatten(0, 1)
        found = mixed_margin(every, rows, constants).reshape(domains, len(members))
        return found.double().nan_to_num(nan=-torch.inf)

    def _reach(self, rows: Tensor, rowwise: Tensor, worst: Tensor) -> Tensor:
        """Size of the coefficients `[D, inputs]` of the best row of each box's worst clause."""
        mine = self.members.to(worst.device)[worst]
        best = mine.gather(1, rowwise.gather(1, mine).argmax(1, keepdim=True))
        chosen = rows[torch.arange(len(rows), device=rows.device), best.squeeze(1)]
        # Inputs that no row reaches now still matter a little: their share may lie in the lines.
        return chosen.abs() + 1e-3 * rows.abs().mean(1)

    def _look_at(
        self, region: BoxRegion, rows: Tensor, rowwise: Tensor, margin: Tensor, still: Tensor
    ) -> None:
        if not bool(still.any()):
            return
        score = torch.where(still, margin, torch.inf)
        worst = torch.topk(score, min(8, len(score)), largest=False).indices
        row = rowwise[worst].argmax(1)
        at = rows[worst, row].reshape(-1, 1, *region.lower.shape[1:])
        corners = BoxRegion(region.lower[worst], region.upper[worst]).minimizer(at).squeeze(1)
        self.search.found = self.search.found or self.look(corners)


def halve(lower: Tensor, upper: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """All 2^m parts of each box halved along its `inputs` `[D, m]` (flat): they cover the box."""
    shape = lower.shape[1:]
    lower, upper = lower.flatten(1), upper.flatten(1)
    domains = len(lower)
    for level in range(inputs.shape[1]):
        place = inputs[:, level].repeat(len(lower) // domains)[:, None]
        middle = (lower.gather(1, place) + upper.gather(1, place)) / 2
        lower, upper = (
            torch.cat([lower, lower.scatter(1, place, middle)]),
            torch.cat([upper.scatter(1, place, middle), upper]),
        )
    return lower.reshape(-1, *shape), upper.reshape(-1, *shape)


def _default_batch(problem: Problem, rows: int) -> int:
    widest = problem.program.widest(problem.program.target)
    elements = 2**28 if problem.layout.device.type == "cuda" else 2**22
    return max(16, min(16384, elements // (widest * max(rows, widest))))
