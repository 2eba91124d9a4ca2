"""Rows of start nodes whose slopes α are optimised: their bounds, and steps along the gradient.

Coefficients are kept for one tile at a time. For a step, each tile is swept again with gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.bound_gradients import Gradients
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import SharedLines
from boundmesh.bounds.relaxation.lines import in_one_pass
from boundmesh.bounds.relaxation.slopes import (
    SlopedLines,
    TileSlopes,
    UnstableNeurons,
    has_unstable,
    start_slopes,
    unstable_neurons_of,
)
from boundmesh.bounds.sweep.backward import Wave, in_waves, sweep
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.layout import DeviceLayout, Share
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Rows, Tile
from boundmesh.bounds.sweep.sweep_state import Draw
from boundmesh.kernels import sloped_windows
from boundmesh.kernels.gradient_use import AdamSteps
from boundmesh.kernels.pieces import Maps
from boundmesh.operators.interval import Interval

# How many tiles share each fetched weight in sweeps without gradients. The height of tiles is that
# for gradients, and two such tiles without gradients take no more memory than one with them.
TOGETHER = 2


@dataclass(frozen=True)
class SlopedRows:
    """The rows of a start node, with their slopes.

    name    the name of the start node
    index   flat indices of the neurons to which the rows belong (empty: rows of the target)
    layout  the layout that suits the tiles
    widths  the number of rows of each tile, on all ranks
    tiles   the tiles of this rank
    slopes  the slopes of each tile of this rank, by node name
    """

    name: str
    index: Tensor
    layout: DeviceLayout
    widths: Sequence[int]
    tiles: Sequence[Tile]
    slopes: Sequence[TileSlopes]


@dataclass(frozen=True)
class Sloped:
    """The nodes of a problem that have unstable neurons, and the relaxations with their slopes.

    problem       what is bounded
    share         the neurons for which this rank computes relaxations
    unstable      the unstable neurons of this rank, by node name
    shared        the lines that all rows share
    steps_inside  the names of nodes whose α is stepped by the kernel that computes its gradient
    errors        the rounding errors of rows (None: rounding is not counted)
    """

    problem: Problem
    share: Share
    unstable: Mapping[str, UnstableNeurons]
    shared: SharedLines
    steps_inside: frozenset[str]
    errors: Errors | None

    @staticmethod
    def of(problem: Problem, bounds: Mapping[str, Interval], errors: Errors | None) -> Sloped:
        """Find the neurons that are unstable under `bounds`, and compute the shared lines."""
        program, share = problem.program, problem.layout.share(problem.program)
        share_bounds = share.bounds(bounds)
        unstable = {
            node.name: unstable_neurons_of(share.node(node), share_bounds, known=True)
            for node in program.nonlinear
            if has_unstable(node, bounds)
        }
        shared = SharedLines(
            share_bounds, {name: neurons.index for name, neurons in unstable.items()}
        )
        inside = {
            n for n, neurons in unstable.items() if in_one_pass(program.graph[n], neurons.initial)
        }
        # These are computed now, because a recorded step cannot check which lines have intercepts.
        for node in program.nonlinear:
            apart = node.name in unstable and (node.name in inside or not one_by_one(node))
            if not apart or problem.layout.windows:
                shared(share.node(node))
        return Sloped(problem, share, unstable, shared, frozenset(inside), errors)

    def below(self, name: str) -> bool:
        """Return True if rows of a node have any slope."""
        return any(node.name in self.unstable for node in self.problem.program.below(name))

    def rows(self, name: str, index: Tensor, rows: Rows) -> SlopedRows:
        """Create rows of a start node with CROWN's slopes; `index` are flat indices of neurons."""
        problem = self.problem
        tiles = problem.tiles(name, rows, gradients=True)
        layout = problem.layout.for_tiles(tiles, problem.region.domains)
        own_tiles, widths = layout.deal(tiles), [tile.rows.count for tile in tiles]
        slopes = []
        for tile in own_tiles:
            problem.look()
            slopes.append(start_slopes(problem.program, tile, self.unstable))
        return SlopedRows(name, index, layout, widths, own_tiles, slopes)

    def bound(self, start: SlopedRows, bounds: Mapping[str, Interval]) -> Tensor:
        """Compute lower bounds `[D, S]` of all rows of a start node from their present slopes."""
        problem, layout = self.problem, start.layout
        maps: dict[str, Maps] = {}
        lines = [
            self._lines(bounds, {name: s.value for name, s in slopes.items()}, {}, maps)
            for slopes in start.slopes
        ]
        waves = in_waves(start.tiles, TOGETHER, _of_tiles(start.tiles, lines))
        check, errors = problem.check, self.errors
        lowest = sweep(layout, problem.program, problem.region, waves, check, errors)
        return torch.cat([*layout.join(lowest, start.widths)], dim=1)

    def step_slopes(
        self,
        start: SlopedRows,
        bounds: Mapping[str, Interval],
        pull: Tensor,
        into: Gradients,
        pace: Tensor,
    ) -> None:
        """Sweep each tile again with gradients of Σ pull·lower, and step its slopes along them.

        The gradients to the bounds (l, u) of start nodes are added to `into`, in the order of the
        tiles. `pull` `[D, S]` weights the rows; `pace` `[3]` is one row of `StepSizes.steps`.
        """
        below = [name for node in self.problem.program.below(start.name) for name in node.inputs]
        below = list(dict.fromkeys(below))
        boxes = {name: _leaf(bounds[name]) for name in below}
        maps: dict[str, Maps] = {}
        parts = [
            self._tile_gradient(start.layout, tile, slopes, boxes, pull, pace, maps)
            for tile, slopes in zip(start.tiles, start.slopes, strict=True)
        ]
        width = parts[0].shape[1]
        into.add(below, start.layout.join_gradients(parts, [width] * len(start.widths)))

    def _tile_gradient(
        self,
        layout: DeviceLayout,
        tile: Tile,
        slopes: TileSlopes,
        boxes: dict[str, Interval],
        pull: Tensor,
        pace: Tensor,
        maps: dict[str, Maps],
    ) -> Tensor:
        problem = self.problem
        tick = pull.new_zeros((), requires_grad=True)
        apart = tile.windowed and not sloped_windows.usable(pull)
        inside = frozenset[str]() if apart else self.steps_inside
        steps = {n: s.steps(pace, tick) for n, s in slopes.items() if n in inside}
        leaves = {
            name: s.value.to(pull.dtype, copy=True).requires_grad_()
            for name, s in slopes.items()
            if name not in steps
        }
        alpha = {name: s.value for name, s in slopes.items()} | leaves
        with torch.enable_grad():
            wave = Wave([tile], self._lines(boxes, alpha, steps, maps))
            (lower,) = sweep(layout, problem.program, problem.region, [wave], problem.look)
        ends = [end for box in boxes.values() for end in (box.lower, box.upper)]
        gradients = torch.autograd.grad(
            lower,
            [*leaves.values(), *ends, tick],
            pull[:, tile.span],
            allow_unused=True,
            materialize_grads=True,
        )
        for (name, a), gradient in zip(leaves.items(), gradients, strict=False):
            slopes[name].ascend(gradient, pace)
            a.grad = None
        return _to_bounds(gradients[len(leaves) : -1])

    def _lines(
        self,
        bounds: Mapping[str, Interval],
        alpha: Mapping[str, Tensor],
        steps: Mapping[str, AdamSteps],
        maps: dict[str, Maps],
    ) -> SlopedLines:
        share_bounds = self.share.bounds(bounds)
        return SlopedLines(share_bounds, self.unstable, self.shared, alpha, steps, maps)


def _of_tiles(tiles: Sequence[Tile], lines: Sequence[SlopedLines]) -> Draw:
    """Return a function that draws the relaxation of a node with the lines of the given tile."""
    of_rows = {tile.span.stop: drawn for tile, drawn in zip(tiles, lines, strict=True)}
    return lambda node, tile: of_rows[tile.span.stop](node, tile)


def _to_bounds(gradients: Sequence[Tensor]) -> Tensor:
    """Return the gradients of a tile to all bounds, `[D, Σ]`. Every tile keeps its own."""
    return torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)


def _leaf(box: Interval) -> Interval:
    return Interval(box.lower.detach().requires_grad_(), box.upper.detach().requires_grad_())
