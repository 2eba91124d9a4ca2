"""The shards of the weights under the schedule `exchange`, and how ranks gather them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import NodeWeights, Part, product_of
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange.all_to_all import all_to_all
from boundmesh.mesh.exchange.columns import Columns
from boundmesh.mesh.exchange.placement import (
    columns_cut,
    gathers_rows,
    is_product,
    place,
    product_cut,
    product_parts,
)
from boundmesh.mesh.exchange.shares import Shapes
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.regathered import Gathered, GatheredNames
from boundmesh.mesh.runtime.sharded_tensors import gather_pieces
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition


class ExchangedWeights(Gathered):
    """This rank's columns or rows of every product's weight, and all other weights whole.

    Read as a mapping, it returns whole weights; an all-gather runs at every read of a cut weight.
    """

    def __init__(
        self, graph: Graph, group: Group, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.given, self.group, self.shapes = GatheredNames(), group, Shapes(group)
        self._cuts: dict[str, Partition] = {}
        self._columns: dict[str, Partition] = {}
        cuts = place(graph, group.size)
        for node in filter(is_product, graph.nodes):
            name, product = node.weights[0], product_of(node)
            assert product is not None
            if gathers_rows(node, group.size):
                inputs = self._columns[name] = columns_cut(node, cuts, group.size)
                self._cuts[name] = Partition(1 - product.output_dim, inputs.ends)
            else:
                self._cuts[name] = Partition(0, product_cut(node, group.size).ends)
        self._held: dict[str, Tensor] = {}
        for name, array in graph.weights.items():
            if name in self._cuts:
                cut = self._cuts[name]
                span = slice(*cut.span(group.rank))
                array = array[:, span] if cut.axis else array[span]
            self._held[name] = tensor(array).to(device, dtype).contiguous()

    @property
    def bytes(self) -> int:
        """The bytes of parameters on this rank."""
        return sum(tensor.nbytes for tensor in self._held.values())

    def shard(self, name: str) -> Tensor:
        """Return this rank's shard of a weight."""
        return self._held[name]

    def node_weights(self, node: Node) -> NodeWeights:
        """Return a product with this rank's shard of its weight."""
        first, *others = (self._held[name] for name in node.weights)
        if node.weights[0] not in self._columns:
            span = product_cut(node, self.group.size).span(self.group.rank)
            return NodeWeights(node, tuple(others), [Part(*span, first)])
        spans = product_parts(node)
        if len(spans) == 1:
            return NodeWeights(node, tuple(others), [Part(*spans[0], first)])
        return NodeWeights(
            node, tuple(others), [Part(*span, first[slice(*span)]) for span in spans]
        )

    def columns(self, node_weights: NodeWeights, rows: Partition | None) -> Columns:
        """Create a product whose weight is cut along its inputs; `rows` is how its rows are cut."""
        name = node_weights.node.weights[0]

        def own_outputs() -> Tensor:
            product = product_of(node_weights.node)
            assert product is not None
            dim = product.output_dim
            return all_to_all(
                self.group, self._held[name], self._cuts[name], Partition(dim, outputs.ends)
            )

        outputs = product_cut(node_weights.node, self.group.size)
        return Columns(node_weights, self._columns[name], outputs, rows, own_outputs)

    def whole_parts(self, node_weights: NodeWeights) -> Iterator[Part]:
        """Yield the whole parts of such a product's weight; each is gathered when it is next."""
        cut = self._cuts[node_weights.node.weights[0]]
        for part in node_weights.parts:
            whole = gather_pieces(self.group, part.weight, cut.axis, cut.ends)
            yield Part(part.low, part.high, whole.contiguous())

    def __getitem__(self, name: str) -> Tensor:
        cut, held = self._cuts.get(name), self._held[name]
        if cut is None:
            return held
        whole = gather_pieces(self.group, held, cut.axis, cut.ends)
        return self.given.note(name, whole.contiguous())

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
