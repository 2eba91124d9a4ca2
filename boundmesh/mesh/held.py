"""What a rank holds of the weights under the schedule `exchange`, and how others come by it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from boundmesh.bounds.served import Part, Served
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph, Node
from boundmesh.mesh.columns import Columns
from boundmesh.mesh.cut import Cut
from boundmesh.mesh.group import Group
from boundmesh.mesh.placement import (
    columns_cut,
    gathers_rows,
    is_product,
    place,
    product_cut,
    product_parts,
)
from boundmesh.mesh.regathered import Gathered, Given
from boundmesh.mesh.shares import Shapes
from boundmesh.mesh.tensor import gather_pieces
from boundmesh.mesh.turn import turn


class ExchangedWeights(Gathered):
    """This rank's columns or rows of every product's weight, and all of the other weights.

    As a mapping it gives whole weights, gathered anew each time.
    """

    def __init__(
        self, graph: Graph, group: Group, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.given, self.group, self.shapes = Given(), group, Shapes(group)
        self._cuts: dict[str, Cut] = {}
        self._columns: dict[str, Cut] = {}
        cuts = place(graph, group.size)
        for node in filter(is_product, graph.nodes):
            name, turned = node.weights[0], node.op == "conv_transpose"
            if gathers_rows(node, group.size):
                inputs = self._columns[name] = columns_cut(node, cuts, group.size)
                self._cuts[name] = Cut(0 if turned else 1, inputs.ends)
            else:
                self._cuts[name] = Cut(0, product_cut(node, group.size).ends)
        self._held: dict[str, Tensor] = {}
        for name, array in graph.weights.items():
            if name in self._cuts:
                cut = self._cuts[name]
                span = slice(*cut.span(group.rank))
                array = array[:, span] if cut.axis else array[span]
            self._held[name] = tensor(array).to(device, dtype).contiguous()

    @property
    def bytes(self) -> int:
        """Bytes of parameters on this rank."""
        return sum(each.nbytes for each in self._held.values())

    def mine(self, name: str) -> Tensor:
        """What this rank holds of a weight."""
        return self._held[name]

    def served(self, node: Node) -> Served:
        """A product with what this rank holds of its weight."""
        first, *others = (self._held[name] for name in node.weights)
        if node.weights[0] not in self._columns:
            span = product_cut(node, self.group.size).span(self.group.rank)
            return Served(node, tuple(others), [Part(*span, first)])
        spans = product_parts(node)
        if len(spans) == 1:
            return Served(node, tuple(others), [Part(*spans[0], first)])
        return Served(node, tuple(others), [Part(*span, first[slice(*span)]) for span in spans])

    def columns(self, served: Served, rows: Cut | None) -> Columns:
        """A product that is cut along its inputs, for rows that are cut so."""
        name = served.node.weights[0]

        def turned() -> Tensor:
            dim = 1 if served.node.op == "conv_transpose" else 0
            return turn(self.group, self._held[name], self._cuts[name], Cut(dim, outputs.ends))

        outputs = product_cut(served.node, self.group.size)
        return Columns(served, self._columns[name], outputs, rows, turned)

    def whole_parts(self, served: Served) -> Iterator[Part]:
        """The parts of such a product's weight, each gathered when it is asked for."""
        cut = self._cuts[served.node.weights[0]]
        for part in served.parts:
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
