"""Sweeps back as CROWN does: pulls tiles of rows from a start node to the input.

A row ⟨A, start(x)⟩ is replaced, node by node, by a row of the node's inputs that is never larger.
At the input its minimum over the region is the lower bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from boundmesh.bounds.sweep.node_weights import visits
from boundmesh.bounds.sweep.parts import in_parts
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.remaining_path import (
    RemainingPath,
    WeightsOf,
    divide,
    pass_stretch,
    pull_back,
)
from boundmesh.bounds.sweep.repeats import Repeats
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.sweep_state import Draw, SweepLayout, SweepState
from boundmesh.bounds.sweep.unit_rows import needed
from boundmesh.bounds.sweep.whole_rows import WholeRows
from boundmesh.operators.node import Node


@dataclass(frozen=True)
class Wave:
    """Tiles of one start node that a sweep pulls back together.

    Each weight is fetched once for all `tiles`. `draw` computes the relaxation of every nonlinear
    node for their rows.
    """

    tiles: Sequence[Tile]
    draw: Draw


def in_waves(tiles: Sequence[Tile], tiles_per_wave: int, draw: Draw) -> list[Wave]:
    """Group tiles into waves of `tiles_per_wave` tiles each; the order of the tiles is kept."""
    firsts = range(0, len(tiles), tiles_per_wave)
    return [Wave(tiles[first : first + tiles_per_wave], draw) for first in firsts]


def sweep(
    layout: SweepLayout,
    program: Program,
    region: Region,
    waves: Sequence[Wave],
    check: Callable[[], None] = lambda: None,
    errors: Errors | None = None,
    repeats: Repeats | None = None,
) -> list[Tensor]:
    """Compute lower bounds `[D, S]` of the rows of each tile; all tiles share one start node.

        ⟨row, start(x)⟩ ≥ ⟨A, x⟩ + bias ≥ min over the region of ⟨A, x⟩ + bias

    The method is CROWN (arXiv 1811.00866). Memory peaks at the weights of `layout` and a few copies
    of each tile of a wave. `check` is called before each wave, and before each node where the
    layout allows it; it may raise. If `errors` is given, the bounds are lowered by the largest
    rounding error that they can contain. With `repeats` stretches that many parts of tiles pass are
    recorded; all relaxations must then be the same for all tiles, and all weights must stay on the
    device, so that they may be read at any time.
    """
    first = waves[0].tiles[0]
    order = program.order(first.start)
    repeats = repeats or {}
    weights = _held(layout, order) if repeats else _in_turn(layout, order, waves)
    lowest: list[Tensor] = []
    look = check if layout.looks_between_nodes else no_look
    for wave in waves:
        check()
        state = layout.sweep_state(program, region, wave.tiles, errors)
        path = RemainingPath(order, first.divisions, weights, wave.draw, repeats, look)
        lowest += pull_back(state, path)
    return lowest


def _in_turn(layout: SweepLayout, order: Sequence[Node], waves: Sequence[Wave]) -> WeightsOf:
    """Fetch the weights of each node when it is its turn, once for all tiles of a wave."""
    start, above, divisions = order[0], order[1:], waves[0].tiles[0].divisions
    passing = layout.stream(
        visit
        for wave in waves
        for visit in (needed(start, wave.tiles), *visits(in_parts(above, divisions)))
    )
    return lambda node: next(passing)


def _held(layout: SweepLayout, order: Sequence[Node]) -> WeightsOf:
    """Find the weights of each node once."""
    by_name = {
        node_weights.node.name: node_weights for node_weights in layout.stream(visits(order))
    }
    return lambda node: by_name[node.name]


def no_look() -> None:
    """Look at no clock."""


def record(
    layout: SweepLayout,
    program: Program,
    region: Region,
    wave: Wave,
    errors: Errors | None,
    repeats: Repeats,
) -> None:
    """Record stretches for one wave of tiles without passing rows through them.

    Only the nodes before the first recorded stretch are passed, and those that are fresh.
    """
    first = wave.tiles[0]
    order = program.order(first.start)
    path = RemainingPath(order, first.divisions, _held(layout, order), wave.draw, repeats, no_look)
    state: SweepState | None = layout.sweep_state(program, region, wave.tiles, errors)
    while isinstance(state, WholeRows):
        repeat = repeats.get(path.order[0].name)
        if repeat is None:
            pass_stretch(state, path)
        elif repeat.stretch.last:
            repeat.record(state, path.to_input, path.rehearse(repeat))
            return
        else:
            state = repeat.record(state, path.to_division, path.rehearse(repeat))
        if state is not None:
            parts, path = divide(state, path)
            state = parts[0]
