"""Who holds what: the questions a sweep asks, and the answers of one device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.graph import Graph, Node

Item = TypeVar("Item")


class Layout(Protocol):
    """Where weights and tiles lie. Bounds are equal, bit for bit, under every layout."""

    device: torch.device
    dtype: torch.dtype
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


@dataclass
class OneDevice:
    """The whole network on one device; weights arrive there when first asked for."""

    graph: Graph
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    wave: int = 1
    _held: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def weights(self, node: Node) -> tuple[Tensor, ...]:
        """All weights of a node, on the device, in the layout's dtype."""
        return tuple(self._weight(name) for name in node.weights)

    def stream(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, tuple[Tensor, ...]]]:
        for node in nodes:
            yield node, self.weights(node)

    def deal(self, items: Sequence[Item]) -> Sequence[Item]:
        return items

    def join(self, mine: Sequence[Tensor], count: int) -> Sequence[Tensor]:
        return mine

    def _weight(self, name: str) -> Tensor:
        if name not in self._held:
            array = np.ascontiguousarray(self.graph.weights[name])
            # torch reads these arrays and never writes; a memory-mapped one says it is read-only.
            writable = array if array.flags.writeable else array.copy()
            self._held[name] = torch.from_numpy(writable).to(self.device, self.dtype)
        return self._held[name]
