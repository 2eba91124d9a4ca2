"""Tiles on their way back with every rank holding its neurons of all their rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from boundmesh.bounds.backward import Draw
from boundmesh.bounds.lines import pull_drawn
from boundmesh.bounds.product import offset
from boundmesh.bounds.region import BoxRegion, Region
from boundmesh.bounds.rows import Tile, UnitRows
from boundmesh.bounds.served import PRODUCTS, Served
from boundmesh.bounds.unit_rows import pull_units
from boundmesh.graph.graph import Graph, Node
from boundmesh.mesh.beginning import dense, spread
from boundmesh.mesh.columns import Columns, GatheredProduct
from boundmesh.mesh.cut import Cut
from boundmesh.mesh.group import Group
from boundmesh.mesh.placement import (
    Cuts,
    gathers_rows,
    is_local,
    is_product,
    local_node,
    local_weights,
    product_cut,
)
from boundmesh.mesh.shares import Shapes, Shares, exact
from boundmesh.mesh.tensor import ExchangedProduct, Piece, Product, Settled, Whole
from boundmesh.rules import RULES
from boundmesh.rules.operator import Pulled


class ExchangedRows:
    """Tiles of one start node, each passing a node in turn."""

    def __init__(
        self, held: Held, cuts: Cuts, graph: Graph, region: Region, tiles: Sequence[Tile]
    ) -> None:
        self._tiles = [ExchangedTile(held, cuts, graph, region, tile) for tile in tiles]

    def pass_node(self, served: Served, draw: Draw) -> None:
        for tile in self._tiles:
            tile.pass_node(served, draw)

    def lowest(self) -> list[Tensor]:
        return [tile.lowest() for tile in self._tiles]


class Held(Protocol):
    """What this rank holds of the products' weights, and what it knows of other ranks."""

    group: Group
    shapes: Shapes

    def columns(self, served: Served, rows: Cut | None) -> Columns:
        """A product that is cut along its inputs, for rows that are cut so."""
        ...


class ExchangedTile:
    """One tile: at each node still to be passed, this rank's coefficients, or all of them where
    the node is not cut. `bias` is that of this rank's share of the rows. For gradients, `own` is
    what this rank's neurons add to the biases of all rows, and `common` what all ranks know."""

    def __init__(self, held: Held, cuts: Cuts, graph: Graph, region: Region, tile: Tile) -> None:
        self._held, self._group = held, held.group
        self._cuts, self._tile = cuts, tile
        self._input, self._region = graph.input, region
        self._shares = Shares(held.group, held.shapes, region.domains, tile.rows.count)
        self._at: dict[str, Tensor] = {}
        self._bias: Tensor | None = None
        self._own: Tensor | None = None
        self._common: Tensor | None = None

    def pass_node(self, served: Served, draw: Draw) -> None:
        node = served.node
        starts = node.name == self._tile.start
        if starts:
            if self._spread_units(served):
                return
            self._at[node.name] = self._begin(node)
        if node.op == "input" or node.name not in self._at:
            return
        rows = self._at.pop(node.name)
        if gathers_rows(node, self._group.size):
            self._multiply_columns(served, rows, None if starts else self._cuts[node.name])
        elif is_product(node):
            self._multiply(served, rows)
        elif is_local(node, self._cuts):
            self._pass_piece(served, rows, draw)
        else:
            self._pass_whole(served, rows, draw)

    def _begin(self, node: Node) -> Tensor:
        """The coefficients of the tile at its start node."""
        if gathers_rows(node, self._group.size):
            return self._tile.rows.dense(node)
        return dense(self._tile, node, self._cuts[node.name], self._group.rank)

    def _multiply_columns(self, served: Served, rows: Tensor, cut: Cut | None) -> None:
        node, columns = served.node, self._held.columns(served, cut)
        pulled, own, bias = GatheredProduct.apply(self._group, columns, self._shares.mine, rows)
        self._own = _sum(self._own, own)
        self._settle(bias)
        self._add_columns(node.inputs[0], columns.inputs, pulled)

    def _add_columns(self, name: str, inputs: Cut, coefficients: Tensor) -> None:
        """Take up rows that are cut like a weight's columns."""
        cut = self._cuts[name]
        if cut != inputs:
            coefficients = Whole.apply(self._group, inputs, coefficients)
            if cut is not None:
                coefficients = Piece.apply(self._group, cut, coefficients)
        self._add(name, coefficients)

    def _multiply(self, served: Served, rows: Tensor) -> None:
        node = served.node
        cut = product_cut(node, self._group.size)
        if self._cuts[node.name] is None:
            rows = Piece.apply(self._group, cut, rows)
        product = Product(served, cut, self._cuts[node.inputs[0]])
        pulled, own, bias = ExchangedProduct.apply(
            self._group, product, partial(self._shares.turned, cut=cut), rows
        )
        self._own = _sum(self._own, own)
        self._settle(bias)
        self._add(node.inputs[0], pulled)

    def _pass_piece(self, served: Served, rows: Tensor, draw: Draw) -> None:
        node, rank, cut = served.node, self._group.rank, self._cuts[served.node.name]
        assert cut is not None
        own = local_node(node, self._cuts, rank)
        rule = RULES[node.op].pull
        if rule is None:
            drawn = draw(own, self._tile)
            if exact(drawn):
                self._settle(self._shares.intercept(node, drawn, rows, cut))
            pulled = pull_drawn(drawn, rows, own)
            if not exact(drawn) and pulled.bias is not None:
                self._settle(self._shares.total(pulled.bias))
        else:
            pulled = rule(own, local_weights(node, served.together, self._cuts, rank), rows)
            if pulled.bias is not None:
                whole = self._shares.turned(rows, cut)
                if node.op in PRODUCTS:
                    # As one device sums it, within a function of its own.
                    with torch.no_grad():
                        self._settle(offset(served, whole))
                else:
                    self._settle(rule(node, served.together, whole).bias)
        self._own = _sum(self._own, pulled.bias)
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            self._add(name, coefficients)

    def _pass_whole(self, served: Served, rows: Tensor, draw: Draw) -> None:
        node, rule = served.node, RULES[served.node.op].pull
        pulled: Pulled
        if rule is None:
            pulled = pull_drawn(draw(node, self._tile), rows, node)
        else:
            pulled = rule(node, served.together, rows)
        self._know(pulled.bias)
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            cut = self._cuts[name]
            self._add(
                name, coefficients if cut is None else Piece.apply(self._group, cut, coefficients)
            )

    def _spread_units(self, served: Served) -> bool:
        """Unit rows of a linear start node: rows of the weight, sent to where their pieces lie."""
        node, rows = served.node, self._tile.rows
        if not isinstance(rows, UnitRows):
            return False
        if gathers_rows(node, self._group.size):
            columns = self._held.columns(served, None)
            # The bias is the whole one, on every rank.
            found = pull_units(columns.local(self._group.rank), [rows])
            if found is not None:
                self._know(found[0].bias)
                self._add_columns(node.inputs[0], columns.inputs, found[0].coefficients[0])
            return found is not None
        vector = node.op == "linear" and node.size == node.shape[-1]
        inputs = self._cuts[node.inputs[0]] if vector else None
        if inputs is None:
            return False
        (part,) = served.parts
        self._add(node.inputs[0], spread(self._group, part, rows, node, inputs))
        for bias in served.weights:
            self._know((bias[rows.index] * rows.sign)[None])
        return True

    def lowest(self) -> Tensor:
        """The bounds `[D, S]` of all rows, from each rank's share of them."""
        rows, cut = self._at.pop(self._input, None), self._cuts[self._input]
        bias, self._bias = self._bias, None
        if rows is not None and cut is not None and isinstance(self._region, BoxRegion):
            ends = (self._region.lower, self._region.upper)
            region = BoxRegion(*(cut.piece(end, self._group.rank, 1) for end in ends))
            self._own = _sum(self._own, region.minimum(rows))
            self._settle(self._shares.minimum(self._region, rows, cut))
        elif rows is not None:
            if cut is not None:
                rows = Whole.apply(self._group, cut, rows)
            self._know(self._region.minimum(rows))
        settled = _sum(self._bias, bias)
        assert settled is not None
        known = self._shares.joined(settled)
        lowest = known.expand(max(self._region.domains, len(known)), self._tile.rows.count)
        share = _sum(self._own, self._common)
        return lowest if share is None else Settled.apply(share.expand(lowest.shape), lowest)

    def _settle(self, bias: Tensor | None) -> None:
        """Add to the biases of this rank's share of the rows."""
        if bias is not None:
            self._bias = _sum(self._bias, self._shares.sized(bias))

    def _know(self, bias: Tensor | None) -> None:
        """Add a bias that all ranks have, of all rows."""
        self._common = _sum(self._common, bias)
        if bias is not None:
            self._settle(self._shares.mine(bias.detach()))

    def _add(self, name: str, coefficients: Tensor) -> None:
        here = self._at.get(name)
        self._at[name] = coefficients if here is None else here + coefficients


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
