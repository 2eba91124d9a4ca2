"""Weights sharded on dim 0, gathered part by part when a sweep needs them.

Part [low, high) of a weight `[out, …]` lies on P ranks in pieces of c = ⌈(high − low) / P⌉ rows;
rank r holds rows low + r·c and following, filled up with zeros where the part ends before. One
all-gather of the pieces, `[P·c, …]`, begins with the part. A rank holds 1/P of every part and, at
a time, two gathered parts: the one in use and the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.layout import PRODUCTS, Part, Served, cuts, parts_of
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph, Node
from boundmesh.mesh.group import Group, Pending

# A weight with fewer numbers is held by every rank: gathering it would cost more than it saves.
REPLICATED = 2**14


@dataclass(frozen=True)
class Shard:
    """This rank's rows of one part of a weight, `[c, …]`."""

    low: int
    high: int
    mine: Tensor

    def gathered_shape(self, ranks: int) -> tuple[int, ...]:
        return (ranks * self.mine.shape[0], *self.mine.shape[1:])


class ShardedWeights(Mapping[str, Tensor]):
    """A graph's weights: the first ones of products in shards, the others on every rank.

    As a mapping it gives whole weights, gathered anew each time.
    """

    def __init__(
        self,
        graph: Graph,
        group: Group,
        device: torch.device,
        dtype: torch.dtype,
        replicated: int = REPLICATED,
    ) -> None:
        self._arrays, self._group, self._device, self._dtype = graph.weights, group, device, dtype
        self._shards: dict[str, list[Shard]] = {}
        for node in graph.nodes:
            if node.op in PRODUCTS and graph.weights[node.weights[0]].size >= replicated:
                name = node.weights[0]
                if name not in self._shards:
                    array = graph.weights[name]
                    self._shards[name] = [
                        self._shard(array, *cut) for cut in cuts(node, array.shape)
                    ]
        self._held = {
            name: self._load(array)
            for name, array in graph.weights.items()
            if name not in self._shards
        }
        self._buffers: tuple[Tensor, ...] = ()
        self._fetching = Fetch((), group, ())

    @property
    def bytes(self) -> int:
        """Bytes of parameters on this rank: shards, replicated weights, and gather buffers."""
        shards = [shard.mine for shards in self._shards.values() for shard in shards]
        return sum(each.nbytes for each in (*shards, *self._held.values(), *self._buffers))

    def stream(self, nodes: Iterable[Node]) -> Iterator[Served]:
        """Each node with its weights; parts are gathered in order, one ahead of its use.

        Every rank must stream the same nodes. A stream ends the one before it.
        """
        nodes = list(nodes)
        fetch = self._fetch([shard for node in nodes for shard in self._of(node)])
        for node in nodes:
            shards = self._of(node)
            if not shards:
                yield self._whole(node)
                continue
            parts = fetch.parts(len(shards))
            yield Served(node, tuple(self[name] for name in node.weights[1:]), parts)
            # All ranks skip the same parts, if any, but each of them has to be gathered.
            for _ in parts:
                pass

    def __getitem__(self, name: str) -> Tensor:
        if name in self._held:
            return self._held[name]
        shards = self._shards[name]
        whole = torch.empty(self._arrays[name].shape, dtype=self._dtype, device=self._device)
        for part in self._fetch(shards).parts(len(shards)):
            whole[part.low : part.high] = part.weight
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def _of(self, node: Node) -> Sequence[Shard]:
        return self._shards.get(node.weights[0], ()) if node.op in PRODUCTS else ()

    def _whole(self, node: Node) -> Served:
        weights = tuple(self._held[name] for name in node.weights)
        if node.op not in PRODUCTS:
            return Served(node, weights)
        return Served(node, weights[1:], parts_of(node, weights[0]))

    def _fetch(self, shards: Sequence[Shard]) -> Fetch:
        self._fetching.close()
        if not self._buffers and self._shards:
            every = [shard for shards in self._shards.values() for shard in shards]
            most = max(shard.mine.numel() for shard in every) * self._group.size
            self._buffers = tuple(
                torch.empty(most, dtype=self._dtype, device=self._device) for _ in range(2)
            )
        self._fetching = Fetch(shards, self._group, self._buffers)
        return self._fetching

    def _shard(self, array: np.ndarray, low: int, high: int) -> Shard:
        ranks, rank = self._group.size, self._group.rank
        height = -(-(high - low) // ranks)
        first = min(low + rank * height, high)
        last = min(first + height, high)
        mine = self._load(array[first:last])
        if last - first < height:
            filled = mine.new_zeros(height, *array.shape[1:])
            filled[: last - first] = mine
            mine = filled
        return Shard(low, high, mine)

    def _load(self, array: np.ndarray) -> Tensor:
        return tensor(array).to(self._device, self._dtype).contiguous()


class Fetch:
    """Gathers shards in order into two buffers, the next while the last one given is in use."""

    def __init__(self, shards: Iterable[Shard], group: Group, buffers: Sequence[Tensor]) -> None:
        self._waiting, self._group, self._buffers = deque(shards), group, buffers
        self._flying: deque[tuple[Shard, Tensor, Pending]] = deque()
        self._count = 0

    def parts(self, count: int) -> Iterator[Part]:
        """The next `count` parts; each is valid until the one after it is asked for."""
        for _ in range(count):
            self._launch()
            shard, whole, work = self._flying.popleft()
            work.wait()
            # Into the other buffer, whose part the caller has done with.
            self._launch()
            yield Part(shard.low, shard.high, whole[: shard.high - shard.low])

    def close(self) -> None:
        """Wait for what is under way and forget the rest."""
        while self._flying:
            self._flying.popleft()[2].wait()
        self._waiting.clear()

    def _launch(self) -> None:
        if self._flying or not self._waiting:
            return
        shard = self._waiting.popleft()
        shape = shard.gathered_shape(self._group.size)
        buffer = self._buffers[self._count % 2]
        self._count += 1
        whole = buffer[: shard.mine.numel() * self._group.size].view(shape)
        self._flying.append((shard, whole, self._group.all_gather(whole, shard.mine)))
