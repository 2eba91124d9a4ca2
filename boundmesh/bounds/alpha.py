"""α-CROWN: the slopes of all start nodes optimised jointly, tile by tile (arXiv 2011.13824).

No A matrix outlives its tile. An iteration goes up and down the start nodes once:
    up     each start node's bounds from its α and the bounds of the start nodes before it;
    down   each tile again, with gradients: to its own α, which takes its step at once, and to the
           bounds (l, u) of the start nodes before it, added over tiles in tile order.
Every iterate is sound, so the best bound of every row and neuron is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.backward import Wave, sweep
from boundmesh.bounds.crown import (
    Problem,
    bound_rows,
    intermediate_bounds,
    intersect,
    undecided_neurons,
)
from boundmesh.bounds.gradients import Gradients
from boundmesh.bounds.lines import SharedLines, in_one_pass
from boundmesh.bounds.parameters import (
    SlopedLines,
    TileSlopes,
    has_undecided,
    start_slopes,
    undecided_neurons_of,
)
from boundmesh.bounds.rows import Rows, Tile, both_sides
from boundmesh.rules.operator import Interval
from boundmesh.rules.pieces import Steps

# The rows asked for are few beside those of the start nodes: their own slopes take this many steps
# for every one of the others.
STEPS_OF_ROWS = 3

Weigh = Callable[[Tensor], Tensor]
"""From the best lower bounds `[D, S]` so far, how much each row's bound counts (0: decided)."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast the slopes climb."""

    iterations: int = 20
    learning_rate: float = 0.2
    decay: float = 0.98
    intermediate: bool = True


@dataclass(frozen=True)
class Optimised:
    """Lower bounds `[D, S]` of the rows and bounds of the start nodes, the best of all iterates."""

    lower: Tensor
    bounds: Mapping[str, Interval]
    iterations: int


@dataclass(frozen=True)
class _Start:
    """The rows of a start node: how many each tile has, the tiles of this rank, the α of each."""

    name: str
    index: Tensor
    widths: Sequence[int]
    tiles: Sequence[Tile]
    slopes: Sequence[TileSlopes]


def ones(best: Tensor) -> Tensor:
    return torch.ones_like(best)


def alpha_crown(
    problem: Problem,
    rows: Rows,
    schedule: Schedule = Schedule(),
    weigh: Weigh = ones,
    stop: Callable[[Tensor], bool] = lambda best: False,
) -> Optimised:
    """α-CROWN's lower bounds of rows of the target; never looser than CROWN's.

    Maximises Σ weigh·lower over the α of the rows and of all start nodes' rows. `stop` is asked
    with the best bounds after every iteration. Costs about three sweeps of CROWN an iteration, and
    6 bytes for every α that exists.
    """
    return Climb(problem, rows, schedule, weigh).run(stop)


class Climb:
    """The state of one optimisation."""

    def __init__(self, problem: Problem, rows: Rows, schedule: Schedule, weigh: Weigh) -> None:
        program = problem.program
        self.problem, self.schedule, self.weigh, self.rows = problem, schedule, weigh, rows
        found = intermediate_bounds(problem, by_rows=True)
        self.first, self.best = found.bounds, found.sharpest
        with torch.no_grad():
            self.lower = bound_rows(problem, program.target, rows, problem.fixed_lines(self.first))
        self.share = problem.layout.share(program)
        self.sloped = {n.name for n in program.nonlinear if has_undecided(n, self.first)}
        mine = self.share.bounds(self.first)
        self.undecided = {
            node.name: undecided_neurons_of(self.share.node(node), mine, known=True)
            for node in program.nonlinear
            if node.name in self.sloped
        }
        self.one_pass = {
            name: in_one_pass(program.graph[name], self.lower) for name in self.undecided
        }
        self.shared = SharedLines(mine, {name: own.index for name, own in self.undecided.items()})
        self.final = self._start(program.target, torch.empty(0), rows)
        self.starts = [s for s in map(self._intermediate, program.starts) if s is not None]

    def _intermediate(self, name: str) -> _Start | None:
        program = self.problem.program
        # Without a line below there is no slope to choose.
        if not self.schedule.intermediate or not self._has_slopes(name):
            return None
        index = undecided_neurons(program, name, self.first)
        if not len(index):
            return None
        return self._start(name, index, both_sides(index, self.first[name].lower.dtype))

    def _has_slopes(self, name: str) -> bool:
        return any(node.name in self.sloped for node in self.problem.program.below(name))

    def _start(self, name: str, index: Tensor, rows: Rows) -> _Start:
        tiles = self.problem.tiles(name, rows)
        mine = self.problem.layout.deal(tiles)
        program = self.problem.program
        slopes = [start_slopes(program, tile, self.undecided) for tile in mine]
        return _Start(name, index, [tile.rows.count for tile in tiles], mine, slopes)

    def run(self, stop: Callable[[Tensor], bool]) -> Optimised:
        if not self._has_slopes(self.problem.program.target) or stop(self.lower):
            return Optimised(self.lower, self.best, 0)
        bounds, done = self.first, 0
        for done in range(1, self.schedule.iterations + 1):
            rate = self.schedule.learning_rate * self.schedule.decay ** (done - 1)
            self._down(bounds, rate, done)
            bounds = self._up()
            for extra in range(1, STEPS_OF_ROWS):
                step = (done - 1) * STEPS_OF_ROWS + 1 + extra
                self._descend(
                    self.final, bounds, self.weigh(self.lower), Gradients(bounds), rate, step
                )
            with torch.no_grad():
                lower = self._bound(self.final, bounds)
            # maximum() keeps NaN, which fails closed.
            self.lower = torch.maximum(self.lower, lower)
            if stop(self.lower):
                break
        return Optimised(self.lower, self.best, done)

    @torch.no_grad()
    def _up(self) -> dict[str, Interval]:
        bounds = dict(self.best)
        for start in self.starts:
            lowest = self._bound(start, bounds)
            count = len(start.index)
            bounds[start.name] = intersect(
                self.best[start.name], start.index, lowest[:, :count], -lowest[:, count:]
            )
        self.best = bounds
        return bounds

    def _bound(self, start: _Start, bounds: Mapping[str, Interval]) -> Tensor:
        problem = self.problem
        waves = [
            Wave([tile], self._lines(bounds, {name: s.value for name, s in slopes.items()}, {}))
            for tile, slopes in zip(start.tiles, start.slopes, strict=True)
        ]
        lowest = sweep(problem.layout, problem.program, problem.region, waves, problem.check)
        return torch.cat([*problem.layout.join(lowest, start.widths)], dim=1)

    def _lines(
        self,
        bounds: Mapping[str, Interval],
        alpha: Mapping[str, Tensor],
        steps: Mapping[str, Steps],
    ) -> SlopedLines:
        return SlopedLines(self.share.bounds(bounds), self.undecided, self.shared, alpha, steps)

    def _down(self, bounds: dict[str, Interval], rate: float, step: int) -> None:
        slope = Gradients(bounds)
        first = (step - 1) * STEPS_OF_ROWS + 1
        self._descend(self.final, bounds, self.weigh(self.lower), slope, rate, first)
        for start in reversed(self.starts):
            pull = slope.of_rows(start.name, start.index)
            if pull is not None:
                self._descend(start, bounds, pull, slope, rate, step)

    def _descend(
        self,
        start: _Start,
        bounds: dict[str, Interval],
        pull: Tensor,
        into: Gradients,
        rate: float,
        step: int,
    ) -> None:
        """Recompute each tile: gradients of Σ pull·lower step its α; those to (l, u) are added."""
        below = [name for node in self.problem.program.below(start.name) for name in node.inputs]
        below = list(dict.fromkeys(below))
        boxes = {name: _leaf(bounds[name]) for name in below}
        parts = [
            self._tile_gradient(tile, slopes, boxes, pull, rate, step)
            for tile, slopes in zip(start.tiles, start.slopes, strict=True)
        ]
        width = parts[0].shape[1]
        for part in self.problem.layout.join_gradients(parts, [width] * len(start.widths)):
            into.add(below, part)

    def _tile_gradient(
        self,
        tile: Tile,
        slopes: TileSlopes,
        boxes: dict[str, Interval],
        pull: Tensor,
        rate: float,
        step: int,
    ) -> Tensor:
        problem = self.problem
        tick = pull.new_zeros((), requires_grad=True)
        steps = {n: s.steps(rate, step, tick) for n, s in slopes.items() if self.one_pass[n]}
        leaves = {
            name: s.value.to(pull.dtype, copy=True).requires_grad_()
            for name, s in slopes.items()
            if name not in steps
        }
        alpha = {name: s.value for name, s in slopes.items()} | leaves
        with torch.enable_grad():
            wave = Wave([tile], self._lines(boxes, alpha, steps))
            (lower,) = sweep(problem.layout, problem.program, problem.region, [wave])
        ends = [end for box in boxes.values() for end in (box.lower, box.upper)]
        gradients = torch.autograd.grad(
            lower,
            [*leaves.values(), *ends, tick],
            pull[:, tile.span],
            allow_unused=True,
            materialize_grads=True,
        )
        for (name, a), gradient in zip(leaves.items(), gradients, strict=False):
            slopes[name].ascend(gradient, rate, step)
            a.grad = None
        return torch.cat([g.flatten(1) for g in gradients[len(leaves) : -1]], dim=1)


def _leaf(box: Interval) -> Interval:
    return Interval(box.lower.detach().requires_grad_(), box.upper.detach().requires_grad_())
