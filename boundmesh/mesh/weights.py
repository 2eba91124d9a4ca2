"""Weights sharded on dim 0, fetched part by part when a sweep needs them.

Part [low, high) of a weight `[out, …]` lies on P ranks in pieces of c = ⌈(high − low) / P⌉ rows;
rank r holds rows low + r·c and following, filled up with zeros where the part ends before. The
pieces joined, `[P·c, …]`, begin with the part. A rank holds 1/P of every part, on its device or in
host memory, and at a time two fetched parts: the one in use and the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.served import PRODUCTS, Part, Served, cuts, parts_of
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph, Node
from boundmesh.mesh.bring import Bring, Waiting
from boundmesh.mesh.regathered import Gathered, Given

# A weight with fewer numbers is held by every rank: fetching it would cost more than it saves.
REPLICATED = 2**14


@dataclass(frozen=True)
class Shard:
    """This rank's rows of one part of a weight, `[c, …]`; the part has `rows` on all ranks."""

    low: int
    high: int
    rows: int
    mine: Tensor


class ShardedWeights(Gathered):
    """A graph's weights: the first ones of products in shards, the others whole on the device.

    As a mapping it gives whole weights, fetched anew each time.
    """

    def __init__(
        self,
        graph: Graph,
        bring: Bring,
        device: torch.device,
        dtype: torch.dtype,
        replicated: int = REPLICATED,
    ) -> None:
        self.given = Given()
        self._arrays, self._bring = graph.weights, bring
        self._device, self._dtype = device, dtype
        self._shards: dict[str, list[Shard]] = {}
        for node in graph.nodes:
            name = node.weights[0] if node.op in PRODUCTS else ""
            if not name or name in self._shards or graph.weights[name].size < replicated:
                continue
            array = graph.weights[name]
            self._shards[name] = [
                self._shard(node, array, *ends) for ends in cuts(node, array.shape)
            ]
        self._held = {
            name: tensor(array).to(device, dtype).contiguous()
            for name, array in graph.weights.items()
            if name not in self._shards
        }
        self._buffers: tuple[Tensor, ...] = ()
        self._fetching = Fetch((), bring, ())

    @property
    def bytes(self) -> int:
        """Bytes of parameters on the device: shards, whole weights, and the buffers of parts."""
        shards = [shard.mine for shards in self._shards.values() for shard in shards]
        resident = shards if self._bring.resident else []
        return sum(each.nbytes for each in (*resident, *self._held.values(), *self._buffers))

    def stream(self, nodes: Iterable[Node]) -> Iterator[Served]:
        """Each node with its weights; parts are fetched in order, one ahead of its use.

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
            # All ranks skip the same parts, if any, but each of them has to be fetched.
            for _ in parts:
                pass

    def __getitem__(self, name: str) -> Tensor:
        if name in self._held:
            return self._held[name]
        shards = self._shards[name]
        whole = torch.empty(self._arrays[name].shape, dtype=self._dtype, device=self._device)
        for part in self._fetch(shards).parts(len(shards)):
            first = part.low if len(shards) > 1 else 0
            whole[first : first + len(part.weight)] = part.weight
        return self.given.note(name, whole)

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
            most = max(shard.mine.numel() for shard in every) * self._bring.ranks
            self._buffers = tuple(
                torch.empty(most, dtype=self._dtype, device=self._device) for _ in range(2)
            )
        self._fetching = Fetch(shards, self._bring, self._buffers)
        return self._fetching

    def _shard(self, node: Node, array: np.ndarray, low: int, high: int) -> Shard:
        # Dim 0 of a transposed convolution's weight is not its outputs; its one part has all rows.
        begin, end = (low, high) if node.op == "linear" else (0, len(array))
        height = -(-(end - begin) // self._bring.ranks)
        first = min(begin + self._bring.rank * height, end)
        last = min(first + height, end)
        mine = tensor(array[first:last]).to(self._dtype)
        if last - first < height:
            filled = mine.new_zeros(height, *array.shape[1:])
            filled[: last - first] = mine
            mine = filled
        return Shard(low, high, end - begin, self._bring.store(mine, self._device))


class Fetch:
    """Fetches parts in order into two buffers, the next one while the last one given is in use."""

    def __init__(self, shards: Iterable[Shard], bring: Bring, buffers: Sequence[Tensor]) -> None:
        self._waiting, self._bring, self._buffers = deque(shards), bring, buffers
        self._flying: deque[tuple[Shard, Tensor, Waiting]] = deque()
        self._count = 0

    def parts(self, count: int) -> Iterator[Part]:
        """The next `count` parts; each is valid until the one after it is asked for."""
        for _ in range(count):
            self._launch()
            shard, whole, waiting = self._flying.popleft()
            waiting.wait()
            # Into the other buffer, whose part the caller has done with.
            self._launch()
            yield Part(shard.low, shard.high, whole[: shard.rows])

    def close(self) -> None:
        """Wait for what is under way and forget the rest."""
        while self._flying:
            self._flying.popleft()[2].wait()
        self._waiting.clear()

    def _launch(self) -> None:
        if self._flying or not self._waiting:
            return
        shard = self._waiting.popleft()
        buffer = self._buffers[self._count % 2]
        self._count += 1
        height, *rest = shard.mine.shape
        length = shard.mine.numel() * self._bring.ranks
        whole = buffer[:length].view(self._bring.ranks * height, *rest)
        self._flying.append((shard, whole, self._bring.begin(whole, shard.mine)))
