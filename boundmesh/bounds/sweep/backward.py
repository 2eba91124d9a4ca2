"""The backward sweep of CROWN: it pulls tiles of rows back from a start node to the input.

A row ⟨A, start(x)⟩ is replaced, node by node, by a row of the node's inputs that is never larger.
At the input its minimum over the region is the lower bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.drawn import Drawn, relax_rows
from boundmesh.bounds.sweep.affine import pull_rows
from boundmesh.bounds.sweep.node_weights import NodeWeights, visits
from boundmesh.bounds.sweep.parts import in_parts, without
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.repeats import Repeats
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Division, Tile, UnitRows
from boundmesh.bounds.sweep.tape import Tape, WeightStream
from boundmesh.bounds.sweep.tile_state import TileState
from boundmesh.bounds.sweep.unit_rows import needed, pull_units
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import Collected
from boundmesh.operators import RULES
from boundmesh.operators.node import Node

Draw = Callable[[Node, Tile], Drawn | Pieces]
"""A function that computes the relaxation of a nonlinear node for the rows of a tile."""

WeightsOf = Callable[[Node], NodeWeights]
"""A function that returns a node with its weights; a sweep calls it once for each pass."""


class Passage(Protocol):
    """The state of a sweep of some tiles of one start node; it hides how ranks divide the rows."""

    def pass_node(self, node_weights: NodeWeights, draw: Draw) -> None:
        """Pull the tiles back through one node. The caller passes nodes in the sweep's order."""
        ...

    def parts(self, division: Division) -> Sequence[Passage]:
        """Divide the rows of every tile into parts, each with a state of its own."""
        ...

    def lowest(self) -> list[Tensor]:
        """Return lower bounds `[D, S]` of each tile's rows, after the last node was passed."""
        ...


class SweepLayout(WeightStream, Protocol):
    """The part of `DeviceLayout` that a sweep uses."""

    @property
    def whole_rows(self) -> SweepLayout:
        """A layout in which a rank holds all coefficients of the rows that it works on."""
        ...

    @property
    def looks_between_nodes(self) -> bool:
        """True if the clock may be looked at between any two nodes."""
        ...

    def passage(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> Passage:
        """Create the state of a sweep of tiles of one start node, before its first node."""
        ...


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
    rounding error that they can contain. With `repeats` parts of tiles that pass the same nodes are
    recorded; all relaxations must then be the same for all tiles, and all weights must stay on the
    device, so that they may be read at any time.
    """
    first = waves[0].tiles[0]
    order = program.order(first.start)
    weights = _in_turn(layout, order, waves) if repeats is None else _held(layout, order)
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
    repeats    records and replays parts (None: nothing is recorded)
    look       is called before each node, and raises where the sweep must end
    """

    order: Sequence[Node]
    divisions: Mapping[str, Division]
    weights: WeightsOf
    draw: Draw
    repeats: Repeats | None
    look: Callable[[], None]


def no_look() -> None:
    """Look at no clock."""


def _pull_back(passage: Passage, way: Way) -> list[Tensor]:
    """Pull tiles back to the input; return lower bounds `[D, S]` of each."""
    repeats = way.repeats
    if repeats is None or way.order[0].name != repeats.place:
        return _advance(passage, way)
    assert isinstance(passage, WholeRows)

    def finish(part: WholeRows) -> list[Tensor]:
        return _advance(part, replace(way, repeats=None))

    def rehearse(part: WholeRows) -> None:
        for node in way.order[: repeats.fresh]:
            if node.name in way.divisions:
                part = part.parts(way.divisions[node.name])[0]
            part.pass_node(way.weights(node), way.draw)
        if repeats.fresh == len(way.order):
            part.lowest()

    return repeats.finish(passage, finish, rehearse)


def _advance(passage: Passage, way: Way) -> list[Tensor]:
    """Pull tiles back to the next division, and their parts to the input."""
    for place, node in enumerate(way.order):
        if node.name in way.divisions:
            divisions = without(way.divisions, node.name)
            rest = replace(way, order=way.order[place:], divisions=divisions)
            parts = passage.parts(way.divisions[node.name])
            found = [_pull_back(part, rest) for part in parts]
            return [torch.cat(every, 1) for every in zip(*found, strict=True)]
        way.look()
        passage.pass_node(way.weights(node), way.draw)
    return passage.lowest()


class WholeRows:
    """The state of a sweep whose rows have all their coefficients on this rank."""

    def __init__(
        self,
        layout: SweepLayout,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> None:
        self._input, self._region = program.graph.input, region
        self._carried = [TileState(tile, errors=errors) for tile in tiles]
        self._tape = Tape(layout)

    def pass_node(self, node_weights: NodeWeights, draw: Draw) -> None:
        pass_node(node_weights, self._carried, draw, self._tape)

    @property
    def height(self) -> int:
        return max(each.tile.rows.count for each in self._carried)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> WholeRows:
        """Return a copy in which `change` replaced every tensor of the rows, in a fixed order."""
        found = copy(self)
        found._carried = [each.mapped(change) for each in self._carried]
        return found

    def parts(self, division: Division) -> Sequence[WholeRows]:
        found = []
        for place in range(division.parts):
            part = copy(self)
            part._carried = [
                each.part(_run(place, division.height, each.tile.rows.count))
                for each in self._carried
            ]
            found.append(part)
        # The parts are views, and the whole is not needed any more.
        self._carried = []
        return found

    def lowest(self) -> list[Tensor]:
        return [rows.minimum(self._input, self._region) for rows in self._carried]


def _run(place: int, height: int, count: int) -> slice:
    return slice(min(place * height, count), min((place + 1) * height, count))


def pass_node(
    node_weights: NodeWeights, carried: Sequence[TileState], draw: Draw, tape: Tape
) -> None:
    """Pull tiles of one start node back through one node."""
    node = node_weights.node
    units = [each.tile.rows for each in carried if isinstance(each.tile.rows, UnitRows)]
    if node.name == carried[0].tile.start:
        pulled = pull_units(node_weights, units) if units else None
        if pulled is not None:
            for each, unit, passed in zip(carried, units, pulled, strict=True):
                each.add(node, passed, Collected(passed.bias, each.error_of_units(node, unit)))
            return
        for each in carried:
            each.begin(node)
    if node.is_input or node.name not in carried[0].at:
        return
    if RULES[node.op].affine:
        rows, collected = zip(*(each.take(node) for each in carried), strict=True)
        found = pull_rows(node_weights, tape, rows, collected)
        for each, result in zip(carried, found, strict=True):
            each.add(node, *result)
    else:
        for each in carried:
            each.add(node, *relax_rows(draw(node, each.tile), *each.take(node), node))


def input_rows(
    layout: SweepLayout,
    program: Program,
    tile: Tile,
    draw: Draw,
    watch: frozenset[str],
    errors: Errors | None = None,
) -> TileState:
    """Sweep one tile back to the input; keep its coefficients at the outputs of `watch`."""
    layout = layout.whole_rows
    carried, tape = TileState(tile, watch, errors), Tape(layout)
    for node_weights in layout.stream(visits(program.order(tile.start))):
        pass_node(node_weights, [carried], draw, tape)
    return carried
