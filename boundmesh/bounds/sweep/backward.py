"""The one backward sweep: tiles of rows from a start node back to the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from torch import Tensor

from boundmesh.bounds.relaxation.lines import Drawn, pull_drawn
from boundmesh.bounds.sweep.affine import Tape, WeightStream, pull
from boundmesh.bounds.sweep.node_weights import NodeWeights, visits
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors, lowered, magnitude
from boundmesh.bounds.sweep.rows import DenseRows, Tile, UnitRows
from boundmesh.bounds.sweep.unit_rows import needed, pull_units
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import added
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Pulled

Draw = Callable[[Node, Tile], Drawn | Pieces]
"""The lines of a nonlinear node for the rows of a tile."""


class Passage(Protocol):
    """Tiles of one start node on their way back, however their rows lie on the ranks."""

    def pass_node(self, served: NodeWeights, draw: Draw) -> None:
        """Pull the tiles back through one node; nodes come in the order of the sweep."""
        ...

    def lowest(self) -> list[Tensor]:
        """Lower bounds `[D, S]` of each tile's rows, once the input is reached."""
        ...


class SweepLayout(WeightStream, Protocol):
    """What a sweep needs of a layout; a `DeviceLayout`."""

    @property
    def whole_rows(self) -> SweepLayout:
        """The layout under which a rank has all coefficients of the rows it works on."""
        ...

    def passage(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> Passage:
        """Tiles of one start node at the beginning of their way back."""
        ...


@dataclass(frozen=True)
class Wave:
    """Tiles of one start node that are pulled back together, each weight fetched once for all."""

    tiles: Sequence[Tile]
    draw: Draw


def in_waves(tiles: Sequence[Tile], together: int, draw: Draw) -> list[Wave]:
    """Waves of so many tiles each, in their order."""
    firsts = range(0, len(tiles), together)
    return [Wave(tiles[first : first + together], draw) for first in firsts]


def sweep(
    layout: SweepLayout,
    program: Program,
    region: Region,
    waves: Sequence[Wave],
    check: Callable[[], None] = lambda: None,
    errors: Errors | None = None,
) -> list[Tensor]:
    """Lower bounds `[D, S]` of the rows of each tile; all tiles share one start node.

        ⟨row, start(x)⟩ ≥ ⟨A, x⟩ + bias ≥ min over the region of ⟨A, x⟩ + bias

    Peak memory is the weights of `layout` and a few copies of each tile of a wave (CROWN,
    arXiv 1811.00866). `check` is called before each wave and may raise. With `errors` the bounds
    are less what rounding can take from them.
    """
    order = program.order(waves[0].tiles[0].start)
    start, above = order[0], order[1:]
    passing = layout.stream(
        visit for wave in waves for visit in (needed(start, wave.tiles), *visits(above))
    )
    lowest: list[Tensor] = []
    for wave in waves:
        check()
        passage = layout.passage(program, region, wave.tiles, errors)
        for served in islice(passing, len(order)):
            passage.pass_node(served, wave.draw)
        lowest += passage.lowest()
    return lowest


class WholeRows:
    """Rows that have all their coefficients on this rank."""

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

    def pass_node(self, served: NodeWeights, draw: Draw) -> None:
        pass_node(served, self._carried, draw, self._tape)

    def lowest(self) -> list[Tensor]:
        return [rows.minimum(self._input, self._region) for rows in self._carried]


def pass_node(served: NodeWeights, carried: Sequence[TileState], draw: Draw, tape: Tape) -> None:
    """Pull tiles of one start node back through one node."""
    node = served.node
    units = [each.tile.rows for each in carried if isinstance(each.tile.rows, UnitRows)]
    if node.name == carried[0].tile.start:
        pulled = pull_units(served, units) if units else None
        if pulled is not None:
            for each, unit, passed in zip(carried, units, pulled, strict=True):
                each.charge_units(node, unit)
                each.add(node, passed)
            return
        for each in carried:
            each.begin(node)
    if node.is_input or node.name not in carried[0].at:
        return
    if RULES[node.op].affine:
        rows, biases = [each.take(node) for each in carried], [each.bias for each in carried]
        pulled = pull(served, tape, rows, biases)
        for each, passed in zip(carried, pulled, strict=True):
            each.add(node, passed)
    else:
        for each in carried:
            each.add(node, pull_drawn(draw(node, each.tile), each.take(node), node, each.bias))


class TileState:
    """One tile on its way: the coefficients at each node still to be passed, the bias, and the
    error, what rounding can take from the rows so far `[D, S]` (None: nothing).

    `seen` keeps the coefficients at the outputs of the nodes `watch`.
    """

    def __init__(
        self,
        tile: Tile,
        watch: frozenset[str] = frozenset(),
        errors: Errors | None = None,
    ) -> None:
        self.tile, self.watch, self.errors = tile, watch, errors
        self.error: Tensor | None = None
        self.seen: dict[str, Tensor] = {}
        self.at: dict[str, Tensor] = {}
        self.bias: Tensor | None = None

    def begin(self, node: Node) -> None:
        """The rows at their start node, written out."""
        rows = self.tile.rows
        self.at[node.name] = rows.dense(node)
        if self.errors is not None and isinstance(rows, DenseRows) and rows.deviation is not None:
            self.error = added(self.error, magnitude(rows.deviation, self.errors.reach[node.name]))

    def charge(self, name: str, rows: Tensor) -> None:
        """Add what rounding can take from rows at a node."""
        if self.errors is not None:
            self.error = self.errors.of_rows(name, rows, self.error)

    def charge_units(self, node: Node, rows: UnitRows) -> None:
        """Add what rounding can take from rows of single neurons at their start node."""
        if self.errors is not None:
            self.error = added(self.error, self.errors.of_units(node.name, rows.index))

    def take(self, node: Node) -> Tensor:
        """The coefficients at a node's output, which is passed now."""
        rows = self.at.pop(node.name)
        self.charge(node.name, rows)
        if node.name in self.watch:
            self.seen[node.name] = rows
        return rows

    def add(self, node: Node, pulled: Pulled) -> None:
        """Take up what a node's output pulled back to at its inputs, and the bias so far."""
        self.bias = pulled.bias
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            if coefficients is not None:
                here = self.at.get(name)
                self.at[name] = coefficients if here is None else here + coefficients

    def minimum(self, input_name: str, region: Region) -> Tensor:
        """Lower bounds `[D, S]`; the rows of a constant are the bias alone."""
        rows = self.at.get(input_name)
        lowest = self.bias if rows is None else region.minimum(rows, self.bias)
        assert lowest is not None
        lowest = lowered(lowest, self.total_error(input_name), self.errors)
        return lowest.expand(max(region.domains, len(lowest)), self.tile.rows.count)

    def total_error(self, input_name: str) -> Tensor | None:
        """What rounding can take from the rows on the whole way, `[D, S]`, at the input, too."""
        rows = self.at.get(input_name)
        if self.errors is None or rows is None:
            return self.error
        return self.errors.of_rows(input_name, rows, self.error)

    def at_input(self, input_name: str, like: Tensor) -> Tensor:
        """The rows at the input, `[D, S, *input_shape]`; zero where nothing depends on it."""
        rows = self.at.get(input_name)
        return like.new_zeros(()) if rows is None else rows


# Many rows are cut into at least so many tiles, that several devices have something to do, unless
# the tiles would hold fewer than so many numbers, or rows, and waste a device's width. With
# gradients a tile keeps its coefficients at every nonlinear node on its way.
LEAST_TILES = 4
LEAST_TILES_OF_GRADIENTS = 16
LEAST_ELEMENTS = 2**20
LEAST_ROWS = 256


def tile_height(
    program: Program,
    start: str,
    domains: int,
    rows: int,
    tile_elements: int,
    gradients: bool = False,
) -> int:
    """Rows of a tile from `start`, so that its widest A holds at most `tile_elements` numbers.

    A function of the network, the number of rows and the memory allowed; never of the devices. A
    power of two, which products fill a device best with. `gradients` says whether they are wanted.
    """
    length = domains * program.widest(start)
    shared = -(-rows // (LEAST_TILES_OF_GRADIENTS if gradients else LEAST_TILES))
    enough = max(shared, LEAST_ROWS // domains, LEAST_ELEMENTS // length)
    most = max(1, min(tile_elements // length, enough))
    return 1 << (most.bit_length() - 1)


def input_rows(
    layout: SweepLayout,
    program: Program,
    tile: Tile,
    draw: Draw,
    watch: frozenset[str],
    errors: Errors | None = None,
) -> TileState:
    """One tile swept back to the input, with what its rows were at the outputs of `watch`."""
    layout = layout.whole_rows
    carried, tape = TileState(tile, watch, errors), Tape(layout)
    for served in layout.stream(visits(program.order(tile.start))):
        pass_node(served, [carried], draw, tape)
    return carried
