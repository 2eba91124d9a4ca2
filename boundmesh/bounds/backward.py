"""The one backward sweep: tiles of rows from a start node back to the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from boundmesh.bounds.layout import Layout
from boundmesh.bounds.lines import Drawn, pull_drawn
from boundmesh.bounds.program import Program
from boundmesh.bounds.region import Region
from boundmesh.bounds.rows import Tile, UnitRows
from boundmesh.graph.graph import Node
from boundmesh.rules import RULES
from boundmesh.rules.operator import Pulled, Weights

Draw = Callable[[Node, Tile], Drawn]
"""The lines of a nonlinear node for the rows of a tile."""


def sweep(
    layout: Layout, program: Program, region: Region, tiles: Sequence[Tile], draw: Draw
) -> list[Tensor]:
    """Lower bounds `[D, S]` of the rows of each tile; the tiles share one start node.

        ⟨row, start(x)⟩ ≥ ⟨A, x⟩ + bias ≥ min over the region of ⟨A, x⟩ + bias

    Peak memory is the weights of `layout` and a few copies of each tile (CROWN, arXiv 1811.00866).
    """
    carried = [Carried(tile) for tile in tiles]
    for node, weights in layout.stream(program.order(tiles[0].start)):
        for rows in carried:
            rows.pass_node(node, weights, draw)
    return [rows.minimum(program.graph.input, region) for rows in carried]


class Carried:
    """One tile on its way: the coefficients at each node still to be passed, and the bias.

    `seen` keeps the coefficients at the outputs of the nodes `watch`.
    """

    def __init__(self, tile: Tile, watch: frozenset[str] = frozenset()) -> None:
        self.tile, self.watch = tile, watch
        self.seen: dict[str, Tensor] = {}
        self.at: dict[str, Tensor] = {}
        self.bias: Tensor | None = None

    def pass_node(self, node: Node, weights: Weights, draw: Draw) -> None:
        pulled = self._pull(node, weights, draw)
        if pulled is None:
            return
        self._add_bias(pulled.bias)
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            if coefficients is not None:
                here = self.at.get(name)
                self.at[name] = coefficients if here is None else here + coefficients

    def _pull(self, node: Node, weights: Weights, draw: Draw) -> Pulled | None:
        if node.name == self.tile.start:
            units = self._pull_units(node, weights)
            if units is not None:
                return units
            self.at[node.name] = self.tile.rows.dense(node)
        if node.op == "input" or node.name not in self.at:
            return None
        rows = self.at.pop(node.name)
        if node.name in self.watch:
            self.seen[node.name] = rows
        operator = RULES[node.op]
        if operator.pull is not None:
            return operator.pull(node, weights, rows)
        return pull_drawn(draw(node, self.tile), rows, node)

    def _pull_units(self, node: Node, weights: Weights) -> Pulled | None:
        rows = self.tile.rows
        if node.op == "input" or not isinstance(rows, UnitRows):
            return None
        rule = RULES[node.op].pull_units
        return None if rule is None else rule(node, weights, rows.index, rows.sign)

    def _add_bias(self, bias: Tensor | None) -> None:
        if bias is not None:
            self.bias = bias if self.bias is None else self.bias + bias

    def minimum(self, input_name: str, region: Region) -> Tensor:
        """Lower bounds `[D, S]`; the rows of a constant are the bias alone."""
        rows = self.at.get(input_name)
        if rows is None:
            assert self.bias is not None
            lowest = self.bias
        else:
            lowest = region.minimum(rows)
            lowest = lowest if self.bias is None else lowest + self.bias
        return lowest.expand(max(region.domains, len(lowest)), self.tile.rows.count)

    def at_input(self, input_name: str, like: Tensor) -> Tensor:
        """The rows at the input, `[D, S, *input_shape]`; zero where nothing depends on it."""
        rows = self.at.get(input_name)
        return like.new_zeros(()) if rows is None else rows


def tile_height(program: Program, start: str, domains: int, tile_elements: int) -> int:
    """Rows of a tile from `start`, so that its widest A holds at most `tile_elements` numbers."""
    return max(1, tile_elements // (domains * program.widest(start)))


def input_rows(
    layout: Layout, program: Program, tile: Tile, draw: Draw, watch: frozenset[str]
) -> Carried:
    """One tile swept back to the input, with what its rows were at the outputs of `watch`."""
    carried = Carried(tile, watch)
    for node, weights in layout.stream(program.order(tile.start)):
        carried.pass_node(node, weights, draw)
    return carried
