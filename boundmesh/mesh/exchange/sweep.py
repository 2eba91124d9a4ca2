"""The backward sweep of the schedule `exchange`: each rank holds its neurons of all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.drawn import pull_drawn
from boundmesh.bounds.sweep.node_weights import NodeWeights, multiplies_one_vector, product_of
from boundmesh.bounds.sweep.products import offset
from boundmesh.bounds.sweep.region import BoxRegion, Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Division, Tile, UnitRows
from boundmesh.bounds.sweep.sweep_state import Draw
from boundmesh.bounds.sweep.unit_rows import pull_units
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange.biases import Biases
from boundmesh.mesh.exchange.divided_product import Divided, DividedProduct
from boundmesh.mesh.exchange.outputs import Outputs
from boundmesh.mesh.exchange.placement import (
    Cuts,
    gathers_rows,
    is_local,
    is_product,
    local_node,
    local_weights,
    product_cut,
)
from boundmesh.mesh.exchange.row_errors import Charged
from boundmesh.mesh.exchange.shards import ExchangedWeights
from boundmesh.mesh.exchange.shares import Shares, exact
from boundmesh.mesh.exchange.start_rows import dense, unit_row_pieces
from boundmesh.mesh.runtime.sharded_tensors import GatherWhole, TakePiece
from boundmesh.operators import RULES
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition


@dataclass(frozen=True)
class ExchangedRows:
    """The state of a sweep of tiles of one start node; they pass each node one after the other."""

    tiles: Sequence[ExchangedTile]

    def pass_node(self, node_weights: NodeWeights, draw: Draw) -> None:
        for tile in self.tiles:
            tile.pass_node(node_weights, draw)

    def parts(self, division: Division) -> Sequence[ExchangedRows]:
        raise AssertionError("only rows in windows are divided, and these are whole maps")

    def lowest(self) -> list[Tensor]:
        return [tile.lowest() for tile in self.tiles]


class ExchangedTile:
    """The state of one tile during a sweep.

    It holds the coefficients `[D or 1, S, *piece]` of this rank's neurons at each node that is not
    passed yet (of all neurons if the value is not cut), the biases, and the rounding errors so far.
    """

    def __init__(
        self,
        held: ExchangedWeights,
        cuts: Cuts,
        graph: Graph,
        region: Region,
        tile: Tile,
        errors: Errors | None = None,
    ) -> None:
        self._held, self._group = held, held.group
        self._cuts, self._tile = cuts, tile
        self._input, self._region = graph.input, region
        self._shares = Shares(held.group, held.shapes, region.domains, tile.rows.count)
        self._biases = Biases(self._shares)
        self._charged = Charged(errors, self._shares)
        self._at: dict[str, Tensor] = {}

    def pass_node(self, node_weights: NodeWeights, draw: Draw) -> None:
        node = node_weights.node
        starts = node.name == self._tile.start
        if starts:
            if self._begin_with_units(node_weights):
                return
            self._at[node.name] = self._begin(node)
            self._charged.begin(self._tile, node)
        if node.is_input or node.name not in self._at:
            return
        rows = self._at.pop(node.name)
        whole = starts and gathers_rows(node, self._group.size)
        self._charged.rows(node.name, rows, None if whole else self._cuts[node.name])
        if gathers_rows(node, self._group.size):
            self._gather(node_weights, rows, None if starts else self._cuts[node.name])
        elif is_product(node):
            self._multiply(node_weights, rows)
        elif is_local(node, self._cuts):
            self._pass_piece(node_weights, rows, draw)
        else:
            self._pass_whole(node_weights, rows, draw)

    def _begin(self, node: Node) -> Tensor:
        """Return the coefficients of the tile at its start node."""
        if gathers_rows(node, self._group.size):
            return self._tile.rows.dense(node)
        return dense(self._tile, node, self._cuts[node.name], self._group.rank)

    def _begin_with_units(self, node_weights: NodeWeights) -> bool:
        """Pull unit rows of a linear node back; they select rows of its weight.

        The result is true if this was done, and false if the rows must be written out instead.
        """
        node, rows = node_weights.node, self._tile.rows
        if not isinstance(rows, UnitRows):
            return False
        if gathers_rows(node, self._group.size):
            columns = self._held.columns(node_weights, None)
            # Every rank holds the whole bias.
            pulled = pull_units(columns.local(self._group.rank), [rows])
            if pulled is not None:
                self._biases.add_common(pulled[0].bias)
                self._charged.units(node.name, rows)
                self._add_columns(node.inputs[0], columns.inputs, pulled[0].only)
            return pulled is not None
        inputs = self._cuts[node.inputs[0]] if multiplies_one_vector(node) else None
        if inputs is None:
            return False
        (part,) = node_weights.parts
        self._charged.units(node.name, rows)
        self._add(node.inputs[0], unit_row_pieces(self._group, part, rows, node, inputs))
        for bias in node_weights.weights:
            self._biases.add_common((bias[rows.index] * rows.sign)[None])
        return True

    def _gather(self, node_weights: NodeWeights, rows: Tensor, cut: Partition | None) -> None:
        columns = self._held.columns(node_weights, cut)
        pulled = self._divided(columns, rows, self._shares.share_of)
        self._add_columns(node_weights.node.inputs[0], columns.inputs, pulled)

    def _multiply(self, node_weights: NodeWeights, rows: Tensor) -> None:
        node, cut = node_weights.node, product_cut(node_weights.node, self._group.size)
        if self._cuts[node.name] is None:
            rows = TakePiece.apply(self._group, cut, rows)
        outputs = Outputs(node_weights, cut, self._cuts[node.inputs[0]])
        all_neurons = partial(self._shares.all_neurons, cut=cut)
        self._add(node.inputs[0], self._divided(outputs, rows, all_neurons))

    def _divided(self, product: Divided, rows: Tensor, share: Callable[[Tensor], Tensor]) -> Tensor:
        pulled, own_bias, bias = DividedProduct.apply(self._group, product, share, rows)
        self._biases.add_own(own_bias)
        self._biases.settle(bias)
        result: Tensor = pulled
        return result

    def _pass_piece(self, node_weights: NodeWeights, rows: Tensor, draw: Draw) -> None:
        node, rank, cut = node_weights.node, self._group.rank, self._cuts[node_weights.node.name]
        assert cut is not None
        local = local_node(node, self._cuts, rank)
        rule = RULES[node.op].pull
        if rule is None:
            drawn = draw(local, self._tile)
            if exact(drawn):
                self._biases.settle(self._shares.intercept(node, drawn, rows, cut))
            pulled = pull_drawn(drawn, rows, local)
            if not exact(drawn) and pulled.bias is not None:
                self._biases.settle(self._shares.total(pulled.bias))
        else:
            pulled = rule(local, local_weights(node, node_weights.tensors, self._cuts, rank), rows)
            if pulled.bias is not None:
                self._settle_affine(node_weights, self._shares.all_neurons(rows, cut))
        self._biases.add_own(pulled.bias)
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            self._add(name, coefficients)

    def _settle_affine(self, node_weights: NodeWeights, rows: Tensor) -> None:
        """Add an affine node's bias to the values of this rank's share of the rows."""
        node, rule = node_weights.node, RULES[node_weights.node.op].pull
        assert rule is not None
        if product_of(node) is not None:
            # One device computes this sum in the same way, inside an autograd function.
            with torch.no_grad():
                self._biases.settle(offset(node_weights, rows))
        else:
            self._biases.settle(rule(node, node_weights.tensors, rows).bias)

    def _pass_whole(self, node_weights: NodeWeights, rows: Tensor, draw: Draw) -> None:
        node, rule = node_weights.node, RULES[node_weights.node.op].pull
        pulled: Pulled
        if rule is None:
            pulled = pull_drawn(draw(node, self._tile), rows, node)
        else:
            pulled = rule(node, node_weights.tensors, rows)
        self._biases.add_common(pulled.bias)
        for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
            cut = self._cuts[name]
            self._add(
                name,
                coefficients if cut is None else TakePiece.apply(self._group, cut, coefficients),
            )

    def lowest(self) -> Tensor:
        """Return the bounds `[D, S]` of all rows, from each rank's share of them."""
        rows, cut = self._at.pop(self._input, None), self._cuts[self._input]
        if rows is not None:
            self._charged.rows(self._input, rows, cut)
        if rows is not None and cut is not None and isinstance(self._region, BoxRegion):
            ends = (self._region.lower, self._region.upper)
            region = BoxRegion(*(cut.piece(end, self._group.rank, 1) for end in ends))
            self._biases.add_own(region.minimum(rows))
            self._biases.settle(self._shares.minimum(self._region, rows, cut))
        elif rows is not None:
            if cut is not None:
                rows = GatherWhole.apply(self._group, cut, rows)
            self._biases.add_common(self._region.minimum(rows))
        lowest = self._biases.total(self._region.domains, self._tile.rows.count)
        return self._charged.lowered(lowest)

    def _add_columns(self, name: str, inputs: Partition, coefficients: Tensor) -> None:
        """Add coefficients that are cut like a weight's columns to those at a node."""
        cut = self._cuts[name]
        if cut != inputs:
            coefficients = GatherWhole.apply(self._group, inputs, coefficients)
            if cut is not None:
                coefficients = TakePiece.apply(self._group, cut, coefficients)
        self._add(name, coefficients)

    def _add(self, name: str, coefficients: Tensor) -> None:
        here = self._at.get(name)
        self._at[name] = coefficients if here is None else here + coefficients
