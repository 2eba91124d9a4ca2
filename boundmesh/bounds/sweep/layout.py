"""Who holds what: the questions a sweep asks, and the answers of one device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.bounds.sweep.backward import Passage, WholeRows
from boundmesh.bounds.sweep.node_weights import NodeWeights, Visit, parts_of, product_of
from boundmesh.bounds.sweep.products import interval
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Charge, Errors, outward
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Interval
from boundmesh.runtime.device import full_precision

Value = TypeVar("Value")


class Share(Protocol):
    """The neurons that a rank draws lines for."""

    def node(self, node: Node) -> Node:
        """A nonlinear node as if it had this rank's neurons alone."""
        ...

    def bounds(self, bounds: Mapping[str, Interval]) -> Mapping[str, Interval]:
        """The bounds of this rank's neurons of every start node."""
        ...


class AllNeurons:
    """The share of a rank that sees every neuron."""

    def node(self, node: Node) -> Node:
        return node

    def bounds(self, bounds: Mapping[str, Interval]) -> Mapping[str, Interval]:
        return bounds


class DeviceLayout(Protocol):
    """Where weights and tiles lie. Bounds are equal, bit for bit, under every layout."""

    device: torch.device
    dtype: torch.dtype
    wave: int
    """Tiles that are pulled back together, so that a weight is fetched once for all of them."""
    recordable: bool = False
    """Whether what is done with the weights on a GPU can be recorded and replayed: bringing them
    asks nothing of the host."""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Whole weights by name, for a forward pass."""
        ...

    @property
    def whole_rows(self) -> DeviceLayout:
        """The layout under which a rank has all coefficients of the rows it works on."""
        return self

    @property
    def own_domains(self) -> DeviceLayout:
        """The layout under which every rank has domains of its own, and all rows of them. Ranks
        still work in step: each has equally many domains, or sweeps as often with fewer."""
        return self

    def in_float64(self) -> DeviceLayout:
        """The same network on the same devices with weights in float64; all ranks make it
        together."""
        ...

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        """Each node with its weights on `device`; they are the caller's until the next node."""
        ...

    def some(self, mask: Tensor) -> Tensor:
        """What is true on some rank, where each has domains of its own."""
        return mask

    def agree(self, value: Value) -> Value:
        """The first rank's value, so that all ranks decide alike."""
        return value

    def thrifty(self) -> AbstractContextManager[object]:
        """Within it, autograd keeps no weight that this rank does not hold."""
        return nullcontext()

    def suited(self, tiles: Sequence[Tile], domains: int) -> DeviceLayout:
        """The layout under which all tiles of a start node are swept, for so many domains."""
        return self

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """The tiles of one start node, given in order, that this rank works on.

        All of them, unless tiles are divided: then every rank gets equally many, and one that has
        too few also gets a tile without rows.
        """
        return tiles

    def join(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """The results of all tiles, in their order, from those of this rank's tiles.

        Result i is `[D, widths[i]]`, with one D for all.
        """
        return mine

    def join_gradients(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """The same for gradients to bounds, which are to be added in this order."""
        return self.join(mine, widths)

    def share(self, program: Program) -> Share:
        """The neurons that this rank draws lines for."""
        return AllNeurons()

    def passage(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> Passage:
        """Tiles of one start node at the beginning of their way back."""
        return WholeRows(self, program, region, tiles, errors)

    def interval(self, served: NodeWeights, boxes: Sequence[Interval]) -> Interval:
        """The interval of a node, all of it, from those of its inputs."""
        return interval(served, boxes)

    def outward(
        self, served: NodeWeights, boxes: Sequence[Interval], charge: Charge
    ) -> tuple[Interval, Tensor | None]:
        """The same moved out by its rounding, and what rows lose at the node."""
        return outward(served, boxes, charge)


class DeviceWeights(Mapping[str, Tensor]):
    """A graph's weights on one device; each arrives there when first asked for, and stays."""

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
    """The whole network on one device."""

    wave = 1
    recordable = True

    def __init__(
        self,
        graph: Graph,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        full_precision()
        self._graph = graph
        self._weights = DeviceWeights(graph, self.device, dtype)
        self._served: dict[str, NodeWeights] = {}

    def in_float64(self) -> DeviceLayout:
        return OneDevice(self._graph, self.device, torch.float64)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self._weights

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        for visit in visits:
            served = self._served.get(visit.node.name)
            # Another graph over the same weights may have another node of this name.
            if served is None or served.node is not visit.node:
                served = self._served[visit.node.name] = self._serve(visit.node)
            yield served

    def _serve(self, node: Node) -> NodeWeights:
        whole = tuple(self.weights[name] for name in node.weights)
        if product_of(node) is None:
            return NodeWeights(node, whole)
        return NodeWeights(node, whole[1:], parts_of(node, whole[0]), whole[0])
