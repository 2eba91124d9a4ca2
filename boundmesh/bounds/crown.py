"""IBP, CROWN-IBP and CROWN: bounds with fixed lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.backward import Draw, sweep, tile_height
from boundmesh.bounds.interval import Intervals
from boundmesh.bounds.layout import Layout
from boundmesh.bounds.lines import FixedLines
from boundmesh.bounds.program import Program
from boundmesh.bounds.region import BoxRegion, Region
from boundmesh.bounds.rows import Rows, Tile, both_sides, cut
from boundmesh.rules.operator import Interval


@dataclass(frozen=True)
class Problem:
    """What is bounded, where, and by whom: a program, a region of D domains, a layout.

    `check` is called between waves of tiles and may raise, to stop a computation in time.
    """

    program: Program
    region: Region
    layout: Layout
    tile_elements: int = 2**22
    check: Callable[[], None] = lambda: None

    def tiles(self, start: str, rows: Rows) -> tuple[Tile, ...]:
        height = tile_height(self.program, start, self.region.domains, self.tile_elements)
        return tuple(cut(start, rows, height))


def bound_rows(problem: Problem, start: str, rows: Rows, draw: Draw) -> Tensor:
    """Lower bounds `[D, S]` of all rows of a start node, tile by tile."""
    layout = problem.layout
    tiles = problem.tiles(start, rows)
    mine = layout.deal(tiles)
    lowest: list[Tensor] = []
    for first in range(0, len(mine), layout.wave):
        problem.check()
        wave = mine[first : first + layout.wave]
        lowest += sweep(layout, problem.program, problem.region, wave, draw)
    return torch.cat([*layout.join(lowest, len(tiles))], dim=1)


@torch.no_grad()
def intermediate_bounds(problem: Problem, *, by_rows: bool) -> dict[str, Interval]:
    """Bounds of every start node, in topological order.

    Each comes first from the intervals of what it reads; with `by_rows` (CROWN; without,
    CROWN-IBP) the neurons that these leave undecided get two rows each, and the better of row and
    interval is kept.
    """
    program = problem.program
    bounds: dict[str, Interval] = {}
    intervals = Intervals(program.graph, problem.layout, problem.region, program.starts)
    done = 0
    for start in program.starts:
        place = program.nodes.index(program.graph[start]) + 1
        intervals.advance(program.nodes[done:place])
        done = place
        bounds[start] = intervals.known[start]
        if by_rows and not _exact(problem, start):
            index = undecided_neurons(program, start, bounds)
            if len(index):
                bounds[start] = sharpened(problem, start, bounds, index, FixedLines(bounds))
                intervals.sharpen(start, bounds[start])
    return bounds


def sharpened(
    problem: Problem, start: str, bounds: Mapping[str, Interval], index: Tensor, draw: Draw
) -> Interval:
    """The bounds of `start`, with rows for the neurons `index` intersected in."""
    box = bounds[start]
    lowest = bound_rows(problem, start, both_sides(index, box.lower.dtype), draw)
    lower, upper = lowest[:, : len(index)], -lowest[:, len(index) :]
    return intersect(box, index, lower, upper)


def intersect(box: Interval, index: Tensor, lower: Tensor, upper: Tensor) -> Interval:
    """`box` cut by bounds `[D, len(index)]` of its flat neurons `index`; NaN stays NaN."""
    flat_lower, flat_upper = box.lower.flatten(1), box.upper.flatten(1)
    best_lower = torch.maximum(flat_lower[:, index], lower)
    best_upper = torch.minimum(flat_upper[:, index], upper)
    return Interval(
        flat_lower.index_copy(1, index, best_lower).reshape(box.lower.shape),
        flat_upper.index_copy(1, index, best_upper).reshape(box.upper.shape),
    )


def undecided_neurons(program: Program, start: str, bounds: Mapping[str, Interval]) -> Tensor:
    """Flat indices of the neurons of `start` that are undecided in some domain."""
    return program.undecided(start, bounds).any(0).nonzero().squeeze(1)


def _exact(problem: Problem, start: str) -> bool:
    return isinstance(problem.region, BoxRegion) and start in problem.program.exact


@torch.no_grad()
def interval_rows(problem: Problem, coefficients: Tensor) -> Tensor:
    """IBP's lower bounds `[D, S]` of rows `[D or 1, S, *shape]` of the target."""
    program = problem.program
    intervals = Intervals(program.graph, problem.layout, problem.region, [program.target])
    intervals.advance(program.nodes)
    box = intervals.known[program.target]
    return BoxRegion(box.lower, box.upper).minimum(coefficients)


@torch.no_grad()
def crown(
    problem: Problem, rows: Rows, *, by_rows: bool = True
) -> tuple[Tensor, dict[str, Interval]]:
    """CROWN's lower bounds `[D, S]` of rows of the target, and the bounds of the start nodes."""
    bounds = intermediate_bounds(problem, by_rows=by_rows)
    return bound_rows(problem, problem.program.target, rows, FixedLines(bounds)), bounds
