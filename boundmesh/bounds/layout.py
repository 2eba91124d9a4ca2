"""Who holds what: the questions a sweep asks, and the answers of one device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph, Node

Item = TypeVar("Item")


class Layout(Protocol):
    """Where weights and tiles lie. Bounds are equal, bit for bit, under every layout."""

    device: torch.device
    dtype: torch.dtype
    weights: Mapping[str, Tensor]
    """Whole weights by name, for a forward pass."""
    wave: int
    """Tiles that are pulled back together, so that a weight is fetched once for all of them."""

    def stream(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, tuple[Tensor, ...]]]:
        """Each node with its weights on `device`; they are the caller's until the next node."""
        ...

    def deal(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items (tiles of one start node, in order) that this rank works on."""
        ...

    def join(self, mine: Sequence[Tensor], count: int) -> Sequence[Tensor]:
        """The `count` results of all ranks, in the items' order, from those of mine."""
        ...


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


class OneDevice:
    """The whole network on one device."""

    wave = 1

    def __init__(
        self,
        graph: Graph,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.weights = DeviceWeights(graph, self.device, dtype)

    def stream(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, tuple[Tensor, ...]]]:
        for node in nodes:
            yield node, tuple(self.weights[name] for name in node.weights)

    def deal(self, items: Sequence[Item]) -> Sequence[Item]:
        return items

    def join(self, mine: Sequence[Tensor], count: int) -> Sequence[Tensor]:
        return mine
