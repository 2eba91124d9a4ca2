"""The schedule `exchange`: weights stay on their ranks and rows move between ranks.

Rank r holds a run of the neurons of every value. Rows `[D, S, *shape]` are cut along the neurons of
the node that they have reached. An operation on them depends on its kind:

    product      An all-gather makes rows whole; each rank multiplies them with its columns of the
                 weight (columns.py). If the weight has a part for every rank, each rank multiplies
                 its piece of the rows with its rows of the weight, and a reduce-scatter adds the
                 results (outputs.py).
    elementwise  Each rank works on its own neurons, with their bounds and α.
    sums         One rank sums over all neurons of a row; an all-to-all moves rows (shares.py).

Every rank holds the bounds of all start nodes. The bounds are those of one device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from boundmesh.bounds.sweep.charge import Charge
from boundmesh.bounds.sweep.layout import DeviceLayout, Value
from boundmesh.bounds.sweep.node_weights import (
    NodeWeights,
    Visit,
    output_axis,
    parts_of,
    product_of,
)
from boundmesh.bounds.sweep.outward import outward
from boundmesh.bounds.sweep.products import interval
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange.placement import (
    Cuts,
    gathers_rows,
    is_local,
    is_product,
    local_node,
    place,
    product_cut,
)
from boundmesh.mesh.exchange.shards import ExchangedWeights
from boundmesh.mesh.exchange.sweep import ExchangedRows, ExchangedTile
from boundmesh.mesh.gather.layouts import Gather
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.regathered import regathered
from boundmesh.mesh.runtime.sharded_tensors import gather_pieces
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.runtime.device import full_precision


class Exchange(DeviceLayout):
    """The layout in which every rank pulls all rows back through its own neurons."""

    wave = 1
    windows = False
    recordable = True

    def __init__(
        self,
        graph: Graph,
        group: Group,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        full_precision()
        self.device, self.dtype = torch.device(device), dtype
        self._graph, self._group = graph, group
        self._weights = ExchangedWeights(graph, group, self.device, dtype)
        self._placed: dict[int, tuple[Graph, Cuts]] = {}
        self._gather: Gather | None = None

    @property
    def group(self) -> Group:
        return self._group

    @property
    def weights(self) -> ExchangedWeights:
        return self._weights

    def in_float64(self) -> DeviceLayout:
        return Gather(self._graph, self._group, self.device, torch.float64)

    @property
    def whole_rows(self) -> DeviceLayout:
        """A layout of the schedule `gather`; its weights are stored at its first use."""
        if self._gather is None:
            self._gather = Gather(self._graph, self._group, self.device, self.dtype)
        return self._gather

    @property
    def own_domains(self) -> DeviceLayout:
        return self.whole_rows.own_domains

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        for node in (visit.node for visit in visits):
            if is_product(node):
                yield self._weights.node_weights(node)
                continue
            held = tuple(self._weights.shard(name) for name in node.weights)
            if product_of(node) is not None:
                yield NodeWeights(node, held[1:], parts_of(node, held[0]))
            else:
                yield NodeWeights(node, held)

    def agree(self, value: Value) -> Value:
        return self._group.agree(value)

    def without_fetched_weights(self) -> AbstractContextManager[object]:
        return regathered(self._weights)

    def join_gradients(
        self, gradients: Sequence[Tensor], widths: Sequence[int]
    ) -> Sequence[Tensor]:
        """Add the gradients of all ranks, each to the bounds of its own neurons: one all-reduce."""
        joined = torch.stack([*gradients])
        self._group.all_reduce(joined)
        return joined.unbind(0)

    def share(self, program: Program) -> OwnNeurons:
        return OwnNeurons(self._cuts(program.graph), self._group.rank)

    def sweep_state(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> ExchangedRows:
        graph, cuts = program.graph, self._cuts(program.graph)
        return ExchangedRows(
            [ExchangedTile(self._weights, cuts, graph, region, tile, errors) for tile in tiles]
        )

    def interval(self, node_weights: NodeWeights, boxes: Sequence[Interval]) -> Interval:
        """Compute a node's interval: each rank its own outputs of a product, then an all-gather.

        Nodes that are not products are computed on every rank.
        """
        node = node_weights.node
        if not is_product(node):
            return interval(node_weights, boxes)
        if gathers_rows(node, self._group.size):
            parts = self._weights.whole_parts(node_weights)
            return interval(NodeWeights(node, node_weights.weights, parts), boxes)
        box = None if self._has_no_output(node_weights) else interval(node_weights, boxes)
        ends: list[Tensor | None] = [None, None] if box is None else [box.upper, box.lower]
        del box
        upper, lower = self._all_outputs(node_weights, boxes, ends)
        return Interval(lower, upper)

    def outward(
        self, node_weights: NodeWeights, boxes: Sequence[Interval], charge: Charge
    ) -> tuple[Interval, Tensor | None]:
        """Compute a node's interval, widened by its rounding, and the rounding error of rows."""
        node = node_weights.node
        if not is_product(node):
            return outward(node_weights, boxes, charge)
        if gathers_rows(node, self._group.size):
            parts = self._weights.whole_parts(node_weights)
            return outward(NodeWeights(node, node_weights.weights, parts), boxes, charge)
        charged = (
            None if self._has_no_output(node_weights) else outward(node_weights, boxes, charge)
        )
        ends: list[Tensor | None] = [None] * 3
        if charged is not None:
            ends = [charged[1], charged[0].upper, charged[0].lower]
        del charged
        error, upper, lower = self._all_outputs(node_weights, boxes, ends)
        return Interval(lower, upper), error

    def _has_no_output(self, node_weights: NodeWeights) -> bool:
        """Return True if this rank holds no output of a product."""
        (part,) = node_weights.parts
        return part.low == part.high

    def _all_outputs(
        self, node_weights: NodeWeights, boxes: Sequence[Interval], ends: list[Tensor | None]
    ) -> list[Tensor]:
        """Gather tensors of all outputs of a product from each rank's tensors of its own outputs.

        An entry of `ends` is None if this rank has no output.
        """
        node, group = node_weights.node, self._group
        cut, dim = product_cut(node, group.size), output_axis(node) + 1
        like = boxes[0].lower
        nothing = like.new_zeros(len(like), *cut.shape(node.shape, group.rank))
        whole = []
        # Each piece is freed once it is gathered, as the whole tensors need the memory.
        while ends:
            piece = ends.pop(0)
            piece = nothing if piece is None else piece
            whole.append(gather_pieces(group, piece, dim, cut.ends).contiguous())
        return whole

    def _cuts(self, graph: Graph) -> Cuts:
        # The graph is kept alive with its cuts, so that no other graph can get the same id.
        if id(graph) not in self._placed:
            self._placed[id(graph)] = (graph, place(graph, self._group.size))
        return self._placed[id(graph)][1]


class OwnNeurons:
    """The share of a rank that computes the relaxations of its own neurons only."""

    def __init__(self, cuts: Cuts, rank: int) -> None:
        self._cuts, self._rank = cuts, rank

    def node(self, node: Node) -> Node:
        return local_node(node, self._cuts, self._rank) if is_local(node, self._cuts) else node

    def bounds(self, bounds: Mapping[str, Interval]) -> Mapping[str, Interval]:
        return OwnBounds(bounds, self._cuts, self._rank)


class OwnBounds(Mapping[str, Interval]):
    """This rank's piece of every value's bounds, cut when it is read.

    The dictionary `bounds` may still grow; entries that are added later can be read, too.
    """

    def __init__(self, bounds: Mapping[str, Interval], cuts: Cuts, rank: int) -> None:
        self._bounds, self._cuts, self._rank = bounds, cuts, rank

    def __getitem__(self, name: str) -> Interval:
        box, cut = self._bounds[name], self._cuts[name]
        if cut is not None:
            return Interval(*(cut.piece(end, self._rank, 1) for end in (box.lower, box.upper)))
        # All ranks compute the same relaxation here, so only the first rank's gradients count.
        return box if self._rank == 0 else Interval(box.lower.detach(), box.upper.detach())

    def __iter__(self) -> Iterator[str]:
        return iter(self._bounds)

    def __len__(self) -> int:
        return len(self._bounds)
