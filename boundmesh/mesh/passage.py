"""Tiles on their way back with every rank holding its neurons of all their rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.backward import Draw
from boundmesh.bounds.lines import pull_drawn
from boundmesh.bounds.product import offset
from boundmesh.bounds.region import BoxRegion, Region
from boundmesh.bounds.rows import DenseRows, Tile, UnitRows
from boundmesh.bounds.served import Part, Served, node_of_part
from boundmesh.graph.graph import Graph, Node
from boundmesh.mesh.group import Group
from boundmesh.mesh.placement import (
    Cut,
    Cuts,
    is_local,
    is_product,
    local_node,
    local_weights,
    product_cut,
)
from boundmesh.mesh.tensor import ROWS, ExchangedProduct, Piece, Product, Total, Whole
from boundmesh.rules import RULES
from boundmesh.rules.operator import Pulled


class ExchangedRows:
    """Tiles of one start node, each passing a node in turn."""

    def __init__(
        self, group: Group, cuts: Cuts, graph: Graph, region: Region, tiles: Sequence[Tile]
    ) -> None:
        self._tiles = [ExchangedTile(group, cuts, graph, region, tile) for tile in tiles]

    def pass_node(self, served: Served, draw: Draw) -> None:
        for tile in self._tiles:
            tile.pass_node(served, draw)

    def lowest(self) -> list[Tensor]:
        return [tile.lowest() for tile in self._tiles]


class ExchangedTile:
    """One tile: at each node still to be passed, this rank's coefficients, or all of them where
    the node is not cut. `own` is this rank's share of the bias, `common` what all ranks know."""

    def __init__(self, group: Group, cuts: Cuts, graph: Graph, region: Region, tile: Tile) -> None:
        self._group, self._cuts, self._tile = group, cuts, tile
        self._input, self._region = graph.input, region
        self._at: dict[str, Tensor] = {}
        self._own: Tensor | None = None
        self._common: Tensor | None = None

    def pass_node(self, served: Served, draw: Draw) -> None:
        node = served.node
        if node.name == self._tile.start:
            if self._spread_units(served):
                return
            self._at[node.name] = dense(self._tile, node, self._cuts[node.name], self._group.rank)
        if node.op == "input" or node.name not in self._at:
            return
        rows = self._at.pop(node.name)
        if is_product(node):
            self._multiply(served, rows)
        elif is_local(node, self._cuts):
            self._pass_piece(served, rows, draw)
        else:
            self._pass_whole(served, rows, draw)

    def _multiply(self, served: Served, rows: Tensor) -> None:
        node, (part,) = served.node, served.parts
        if self._cuts[node.name] is None:
            rows = Piece.apply(self._group, product_cut(node, self._group.size), rows)
        own, bias = node_of_part(served, part.low, part.high)
        product = Product(own, part.weight, self._cuts[node.inputs[0]])
        self._own = _sum(self._own, offset(Served(own, bias), rows))
        self._add(node.inputs[0], ExchangedProduct.apply(self._group, product, rows))

    def _pass_piece(self, served: Served, rows: Tensor, draw: Draw) -> None:
        node, rank = served.node, self._group.rank
        own = local_node(node, self._cuts, rank)
        rule = RULES[node.op].pull
        if rule is None:
            pulled = pull_drawn(draw(own, self._tile), rows, own)
        else:
            pulled = rule(own, local_weights(node, served.together, self._cuts, rank), rows)
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
        self._common = _sum(self._common, pulled.bias)
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            cut = self._cuts[name]
            self._add(
                name, coefficients if cut is None else Piece.apply(self._group, cut, coefficients)
            )

    def _spread_units(self, served: Served) -> bool:
        """Unit rows of a linear start node: rows of the weight, sent to where their pieces lie."""
        node, rows = served.node, self._tile.rows
        vector = node.op == "linear" and node.size == node.shape[-1]
        inputs = self._cuts[node.inputs[0]] if vector else None
        if not isinstance(rows, UnitRows) or inputs is None:
            return False
        (part,) = served.parts
        self._add(node.inputs[0], spread(self._group, part, rows, node, inputs))
        for bias in served.weights:
            self._common = _sum(self._common, (bias[rows.index] * rows.sign)[None])
        return True

    def lowest(self) -> Tensor:
        """One all-reduce of the shares `[D, S]` of all ranks."""
        rows, cut = self._at.pop(self._input, None), self._cuts[self._input]
        own, common = self._own, self._common
        if rows is not None and cut is not None:
            if isinstance(self._region, BoxRegion):
                ends = (self._region.lower, self._region.upper)
                region = BoxRegion(*(cut.piece(end, self._group.rank, 1) for end in ends))
                own = _sum(own, region.minimum(rows))
            else:
                common = _sum(common, self._region.minimum(Whole.apply(self._group, cut, rows)))
        elif rows is not None:
            common = _sum(common, self._region.minimum(rows))
        lowest = common if own is None else _sum(Total.apply(self._group, own), common)
        assert lowest is not None
        return lowest.expand(max(self._region.domains, len(lowest)), self._tile.rows.count)

    def _add(self, name: str, coefficients: Tensor) -> None:
        here = self._at.get(name)
        self._at[name] = coefficients if here is None else here + coefficients


def dense(tile: Tile, node: Node, cut: Cut | None, rank: int) -> Tensor:
    """A rank's coefficients of a tile at its start node."""
    rows = tile.rows
    if cut is None:
        return rows.dense(node)
    if isinstance(rows, DenseRows):
        return cut.piece(rows.coefficients, rank, ROWS)
    return cut.piece(rows.dense(node), rank, ROWS)


def spread(group: Group, part: Part, rows: UnitRows, node: Node, inputs: Cut) -> Tensor:
    """This rank's inputs of all unit rows, `[1, S, *piece]`, by one all-to-all.

    Rank r has the rows of the weight for the units of its own outputs, and sends to each rank that
    one's run of them.
    """
    cut = product_cut(node, group.size)
    owner = np.searchsorted(np.asarray(cut.ends), rows.places, side="right") - 1
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=group.size)
    mine = torch.from_numpy(np.flatnonzero(owner == group.rank)).to(rows.index.device)
    own = part.weight[rows.index[mine] - part.low] * rows.sign[mine][:, None]
    runs = [slice(*inputs.span(rank)) for rank in range(group.size)]
    sent = torch.cat([own[:, run].flatten() for run in runs])
    wide = runs[group.rank].stop - runs[group.rank].start
    received = sent.new_empty(rows.count * wide)
    takes = [int(count) * wide for count in counts]
    gives = [len(own) * (run.stop - run.start) for run in runs]
    group.all_to_all(received, sent, takes, gives).wait()
    back = torch.from_numpy(np.argsort(order)).to(rows.index.device)
    piece = inputs.shape(node.input_shapes[0], group.rank)
    return received.reshape(rows.count, wide)[back].reshape(1, rows.count, *piece)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
