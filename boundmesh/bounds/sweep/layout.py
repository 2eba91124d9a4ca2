"""Defines where weights and rows lie, on one device or on the ranks of a mesh.

`DeviceLayout` is the interface that sweeps and methods use. `OneDevice` implements it for a single
device; the layouts of a mesh are in `boundmesh/mesh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.bounds.sweep.charge import Charge
from boundmesh.bounds.sweep.node_weights import NodeWeights, Visit, parts_of, product_of
from boundmesh.bounds.sweep.outward import outward
from boundmesh.bounds.sweep.products import interval
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.sweep_state import SweepState
from boundmesh.bounds.sweep.whole_rows import WholeRows
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.runtime.device import full_precision

Value = TypeVar("Value")


class Share(Protocol):
    """The neurons for which a rank computes relaxations."""

    def node(self, node: Node) -> Node:
        """Return a nonlinear node reduced to this rank's neurons."""
        ...

    def bounds(self, bounds: Mapping[str, Interval]) -> Mapping[str, Interval]:
        """Return the bounds of this rank's neurons of every start node."""
        ...


class AllNeurons:
    """The share of a rank that computes the relaxations of every neuron."""

    def node(self, node: Node) -> Node:
        return node

    def bounds(self, bounds: Mapping[str, Interval]) -> Mapping[str, Interval]:
        return bounds


class DeviceLayout(Protocol):
    """Where weights and tiles lie. Every layout computes the same bounds, bit for bit.

    device      the device of this process
    dtype       the type of weights and rows
    wave        how many tiles are pulled back together
    recordable  true if work with the weights can be recorded as a CUDA graph and replayed
    dealers     how many ranks divide the tiles of a start node among each other
    windows     true if rows of single neurons may lie in windows; else they are dense
    looks_between_nodes
                true if the clock may be looked at between any two nodes of a sweep: where no rank
                works in step with others, and no GPU works ahead of the host
    """

    device: torch.device
    dtype: torch.dtype
    wave: int
    """A weight is fetched once for all tiles of a wave."""
    recordable: bool = False
    """Recording needs weights to arrive without any action of the host."""
    dealers: int = 1
    windows: bool = True
    looks_between_nodes: bool = False

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The whole weights by name, for a forward pass."""
        ...

    @property
    def whole_rows(self) -> DeviceLayout:
        """A layout in which a rank holds all coefficients of the rows that it works on."""
        return self

    @property
    def own_domains(self) -> DeviceLayout:
        """A layout in which every rank bounds domains of its own, with all their rows.

        Ranks still work in step: every rank runs the same number of sweeps.
        """
        return self

    def in_float64(self) -> DeviceLayout:
        """Create a layout of the same network on the same devices with weights in float64.

        All ranks must call this together.
        """
        ...

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        """Yield each node with its weights on `device`; they are valid until the next node."""
        ...

    def holds(self, nodes: Iterable[Node]) -> bool:
        """Return True if all weights of these nodes stay whole on the device.

        Any of them may then be read at any time.
        """
        return False

    def holding(self, nodes: Sequence[Node], most: int) -> AbstractContextManager[frozenset[str]]:
        """Return a context in which the weights of these nodes stay whole on the device.

        If they have more than `most` numbers, they stay where they are. The context yields the
        names of the nodes whose weights stay there only meanwhile. All ranks must enter it
        together.
        """
        return nullcontext(frozenset())

    def on_any_rank(self, mask: Tensor) -> Tensor:
        """Return a mask that is true where `mask` is true on any rank.

        Ranks differ only where each has domains of its own.
        """
        return mask

    def agree(self, value: Value) -> Value:
        """Return the first rank's value, so that all ranks take the same decision."""
        return value

    def without_fetched_weights(self) -> AbstractContextManager[object]:
        """Return a context in which autograd keeps no weight that this rank does not hold."""
        return nullcontext()

    def for_tiles(self, tiles: Sequence[Tile], domains: int) -> DeviceLayout:
        """Return the layout that suits a sweep of these tiles of one start node and `domains`."""
        return self

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """Return the tiles that this rank works on, out of all tiles of one start node.

        One device works on all of them. Where ranks divide the tiles, every rank gets equally
        many: a rank with too few gets tiles without rows in addition.
        """
        return tiles

    def join(self, results: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """Collect the results of all tiles, in their order, from the results of each rank's tiles.

        Result i is `[D, widths[i]]`; D is the same for all.
        """
        return results

    def join_gradients(self, results: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """Collect the gradients of all tiles to bounds, in the order in which they are added."""
        return self.join(results, widths)

    def share(self, program: Program) -> Share:
        """Return the neurons for which this rank computes relaxations."""
        return AllNeurons()

    def sweep_state(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> SweepState:
        """Create the state of a sweep of tiles of one start node, before its first node."""
        return WholeRows(self, program, region, tiles, errors)

    def interval(self, node_weights: NodeWeights, boxes: Sequence[Interval]) -> Interval:
        """Compute the interval of all neurons of a node from the intervals of its inputs."""
        return interval(node_weights, boxes)

    def outward(
        self, node_weights: NodeWeights, boxes: Sequence[Interval], charge: Charge
    ) -> tuple[Interval, Tensor | None]:
        """Compute a node's interval, widened by its rounding, and the rounding error of rows there.

        The error has the shape `[D or 1, *shape]`; it is None if rows lose nothing at the node.
        """
        return outward(node_weights, boxes, charge)


class DeviceWeights(Mapping[str, Tensor]):
    """A graph's weights on one device. Each is copied there at its first use and stays there."""

    def __init__(self, graph: Graph, device: torch.device, dtype: torch.dtype) -> None:
        self._arrays, self._device, self._dtype = graph.weights, device, dtype
        self._held: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._held:
            array = tensor(self._arrays[name])
            self._held[name] = array.to(self._device, self._dtype).contiguous()
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class OneDevice(DeviceLayout):
    """The layout that keeps the whole network on one device."""

    wave = 1
    recordable = True

    def __init__(
        self,
        graph: Graph,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.looks_between_nodes = self.device.type == "cpu"
        full_precision()
        self._graph = graph
        self._weights = DeviceWeights(graph, self.device, dtype)
        self._node_weights: dict[str, NodeWeights] = {}

    def in_float64(self) -> DeviceLayout:
        return OneDevice(self._graph, self.device, torch.float64)

    def holds(self, nodes: Iterable[Node]) -> bool:
        return True

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self._weights

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        for visit in visits:
            node_weights = self._node_weights.get(visit.node.name)
            # Another graph over the same weights may have another node of this name.
            if node_weights is None or node_weights.node is not visit.node:
                node_weights = self._node_weights[visit.node.name] = self._make_node_weights(
                    visit.node
                )
            yield node_weights

    def _make_node_weights(self, node: Node) -> NodeWeights:
        whole = tuple(self.weights[name] for name in node.weights)
        if product_of(node) is None:
            return NodeWeights(node, whole)
        return NodeWeights(node, whole[1:], parts_of(node, whole[0]), whole[0])
