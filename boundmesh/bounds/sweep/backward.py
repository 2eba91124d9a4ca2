"""The backward sweep of CROWN: it pulls tiles of rows back from a start node to the input.

A row ⟨A, start(x)⟩ is replaced, node by node, by a row of the node's inputs that is never larger.
At the input its minimum over the region is the lower bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import NodeWeights, visits
from boundmesh.bounds.sweep.parts import in_parts, without
from boundmesh.bounds.sweep.passage import Draw, Passage, SweepLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.repeats import Lowest, Repeat, Repeats
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Division, Tile
from boundmesh.bounds.sweep.unit_rows import needed
from boundmesh.bounds.sweep.whole_rows import WholeRows
from boundmesh.operators.node import Node

WeightsOf = Callable[[Node], NodeWeights]
"""A function that returns a node with its weights; a sweep calls it once for each pass."""


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
        passage = layout.passage(program, region, wave.tiles, errors)
        way = Way(order, first.divisions, weights, wave.draw, repeats, look)
        lowest += _pull_back(passage, way)
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
    found = {each.node.name: each for each in layout.stream(visits(order))}
    return lambda node: found[node.name]


@dataclass(frozen=True)
class Way:
    """The rest of a sweep's way back.

    order      the nodes, last first
    divisions  how tiles are divided in front of some nodes, by name
    weights    returns a node with its weights
    draw       computes relaxations
    repeats    the stretches that are recorded
    look       is called before each node, and raises where the sweep must end
    """

    order: Sequence[Node]
    divisions: Mapping[str, Division]
    weights: WeightsOf
    draw: Draw
    repeats: Repeats
    look: Callable[[], None]

    @property
    def stretch(self) -> int:
        """How many nodes tiles pass before they are divided, or reach the input."""
        places = (at for at, node in enumerate(self.order) if node.name in self.divisions)
        return next(places, len(self.order))

    def to_division(self, tiles: WholeRows) -> WholeRows:
        """Pull tiles back to where they are divided next."""
        _pass(tiles, self)
        return tiles

    def to_input(self, tiles: WholeRows) -> Lowest:
        """Pull tiles back to the input without further recordings."""
        return Lowest(_pull_back(tiles, replace(self, repeats={})))

    def rehearse(self, repeat: Repeat) -> Callable[[WholeRows], None]:
        """Return a function that passes the fresh nodes of a stretch."""

        def passed(part: WholeRows) -> None:
            fresh = self.order[: repeat.stretch.fresh]
            for node in fresh:
                if node.name in self.divisions:
                    part = part.parts(self.divisions[node.name])[0]
                part.pass_node(self.weights(node), self.draw)
            if len(fresh) == len(self.order):
                part.lowest()

        return passed


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
    way = Way(order, first.divisions, _held(layout, order), wave.draw, repeats, no_look)
    passage: Passage | None = layout.passage(program, region, wave.tiles, errors)
    while isinstance(passage, WholeRows):
        repeat = repeats.get(way.order[0].name)
        if repeat is None:
            _pass(passage, way)
        elif repeat.stretch.last:
            repeat.record(passage, way.to_input, way.rehearse(repeat))
            return
        else:
            passage = repeat.record(passage, way.to_division, way.rehearse(repeat))
        if passage is not None:
            parts, way = _divide(passage, way)
            passage = parts[0]


def _pull_back(passage: Passage, way: Way) -> list[Tensor]:
    """Pull tiles back to the input; return lower bounds `[D, S]` of each."""
    repeat = way.repeats.get(way.order[0].name)
    if repeat is None:
        _pass(passage, way)
        return _finish(passage, way)
    assert isinstance(passage, WholeRows)
    if repeat.stretch.last:
        found = repeat.run(passage, way.to_input, way.rehearse(repeat))
        return [each.clone() for each in found.bounds]
    return _finish(repeat.run(passage, way.to_division, way.rehearse(repeat)), way)


def _pass(passage: Passage, way: Way) -> None:
    """Pull tiles back to the node in front of which they are divided next, or to the input."""
    for node in way.order[: way.stretch]:
        way.look()
        passage.pass_node(way.weights(node), way.draw)


def _finish(passage: Passage, way: Way) -> list[Tensor]:
    """Pull tiles that have passed a stretch back to the input."""
    if way.stretch == len(way.order):
        return passage.lowest()
    parts, way = _divide(passage, way)
    found = [_pull_back(part, way) for part in parts]
    return [torch.cat(every, 1) for every in zip(*found, strict=True)]


def _divide(passage: Passage, way: Way) -> tuple[Sequence[Passage], Way]:
    """Divide tiles that have passed a stretch; return their parts and the rest of the way."""
    name, rest = way.order[way.stretch].name, way.order[way.stretch :]
    divisions = without(way.divisions, name)
    return passage.parts(way.divisions[name]), replace(way, order=rest, divisions=divisions)
