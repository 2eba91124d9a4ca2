"""Who holds what: the questions a sweep asks, and the answers of one device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from boundmesh.bounds.rows import Tile
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph, Node

# Operators whose first weight is large, has the outputs on dim 0, and is met in products with rows.
PRODUCTS = frozenset({"linear", "conv", "conv_transpose"})

# A part of a linear weight: at most this many outputs, fewer (but never under the least) where
# they are so long that the part would exceed this many numbers.
PART_OUTPUTS = 1024
LEAST_OUTPUTS = 128
PART_ELEMENTS = 2**23


@dataclass(frozen=True)
class Part:
    """The rows `low ≤ i < high` of a product's first weight; a linear node's outputs."""

    low: int
    high: int
    weight: Tensor


@dataclass(frozen=True)
class Served:
    """A node with its weights. The first weight of a product comes in `parts`, each of them the
    caller's until the next; `weights` are the others, and all those of other operators."""

    node: Node
    weights: tuple[Tensor, ...]
    parts: Iterable[Part] = ()


class Layout(Protocol):
    """Where weights and tiles lie. Bounds are equal, bit for bit, under every layout."""

    device: torch.device
    dtype: torch.dtype
    wave: int
    """Tiles that are pulled back together, so that a weight is fetched once for all of them."""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Whole weights by name, for a forward pass."""
        ...

    def stream(self, nodes: Iterable[Node]) -> Iterator[Served]:
        """Each node with its weights on `device`; they are the caller's until the next node."""
        ...

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """The tiles of one start node, given in order, that this rank works on.

        Every rank gets equally many: one that has too few also gets a tile without rows.
        """
        ...

    def join(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """The results of all tiles, in their order, from those of this rank's tiles.

        Result i is `[D, widths[i]]`, with one D for all.
        """
        ...


def cuts(node: Node, weight_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Where the parts of a product's first weight begin and end: a function of the network alone.

    Each part is used whole in one product, so this decides the order of every sum over outputs.
    """
    count = weight_shape[0]
    if node.op != "linear":
        return [(0, count)]
    height = min(PART_OUTPUTS, max(LEAST_OUTPUTS, PART_ELEMENTS // max(1, weight_shape[1])))
    return [(low, min(low + height, count)) for low in range(0, count, height)]


def parts_of(node: Node, weight: Tensor) -> list[Part]:
    """The parts of a product's first weight where all of it is at hand."""
    return [Part(low, high, weight[low:high]) for low, high in cuts(node, weight.shape)]


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

    def stream(self, nodes: Iterable[Node]) -> Iterator[Served]:
        for node in nodes:
            whole = tuple(self.weights[name] for name in node.weights)
            if node.op not in PRODUCTS:
                yield Served(node, whole)
                continue
            yield Served(node, whole[1:], parts_of(node, whole[0]))

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        return tiles

    def join(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        return mine
