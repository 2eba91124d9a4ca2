"""Pulls tiles of rows, with all their coefficients on one rank, back through nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

from torch import Tensor

from boundmesh.bounds.relaxation.drawn import relax_rows
from boundmesh.bounds.sweep.affine import pull_rows
from boundmesh.bounds.sweep.node_weights import NodeWeights, visits
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Division, Tile, UnitRows
from boundmesh.bounds.sweep.sweep_state import Draw, SweepLayout
from boundmesh.bounds.sweep.tape import Tape
from boundmesh.bounds.sweep.tile_state import TileState
from boundmesh.bounds.sweep.unit_rows import pull_units
from boundmesh.kernels.sums import Collected
from boundmesh.operators import RULES


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
        return max(state.tile.rows.count for state in self._carried)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> WholeRows:
        """Return a copy in which `change` replaced every tensor of the rows, in a fixed order."""
        copied = copy(self)
        copied._carried = [state.mapped(change) for state in self._carried]
        return copied

    def parts(self, division: Division) -> Sequence[WholeRows]:
        parts = []
        for number in range(division.parts):
            part = copy(self)
            part._carried = [
                state.part(_span(number, division.height, state.tile.rows.count))
                for state in self._carried
            ]
            parts.append(part)
        # The parts are views, and the whole is not needed any more.
        self._carried = []
        return parts

    def lowest(self) -> list[Tensor]:
        return [rows.minimum(self._input, self._region) for rows in self._carried]


def _span(number: int, height: int, count: int) -> slice:
    return slice(min(number * height, count), min((number + 1) * height, count))


def pass_node(
    node_weights: NodeWeights, carried: Sequence[TileState], draw: Draw, tape: Tape
) -> None:
    """Pull tiles of one start node back through one node."""
    node = node_weights.node
    units = [state.tile.rows for state in carried if isinstance(state.tile.rows, UnitRows)]
    if node.name == carried[0].tile.start:
        pulled = pull_units(node_weights, units) if units else None
        if pulled is not None:
            for state, unit, passed in zip(carried, units, pulled, strict=True):
                state.add(node, passed, Collected(passed.bias, state.error_of_units(node, unit)))
            return
        for state in carried:
            state.begin(node)
    if node.is_input or node.name not in carried[0].coefficients:
        return
    if RULES[node.op].affine:
        rows, collected = zip(*(state.take(node) for state in carried), strict=True)
        pulled_rows = pull_rows(node_weights, tape, rows, collected)
        for state, result in zip(carried, pulled_rows, strict=True):
            state.add(node, *result)
    else:
        for state in carried:
            state.add(node, *relax_rows(draw(node, state.tile), *state.take(node), node))


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
