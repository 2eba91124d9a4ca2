"""Weights that are sharded on dim 0 and fetched part by part when a sweep needs them.

Each of P ranks holds about 1/P of the rows of every weight, on its device or in host memory. It
also holds up to two fetched parts: the one in use and the next. A `WeightSource` decides which rank
holds which rows, and fetches parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import (
    NodeWeights,
    Visit,
    is_divisible,
    multiplies_one_vector,
    part_spans,
    parts_of,
    product_of,
)
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.mesh.gather.distributed_product import DistributedProduct, part_places
from boundmesh.mesh.gather.fetch import Fetch, Shard
from boundmesh.mesh.gather.sources import WeightSource
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.regathered import Gathered, GatheredNames
from boundmesh.operators.node import Node

# Every rank holds a weight with fewer numbers, as fetching it would cost more than it saves.
REPLICATED = 2**18


class ShardedWeights(Gathered):
    """A graph's weights: those that products multiply by in shards, the others whole.

    Weights with fewer than `replicated` numbers are whole, too. Read as a mapping, it returns whole
    weights; a sharded weight is fetched at every read.
    """

    def __init__(
        self,
        graph: Graph,
        bring: WeightSource,
        device: torch.device,
        dtype: torch.dtype,
        replicated: int = REPLICATED,
    ) -> None:
        self.given = GatheredNames()
        self._arrays, self._bring = graph.weights, bring
        self._device, self._dtype = device, dtype
        self._shards: dict[str, list[Shard]] = {}
        for node in graph.nodes:
            name = node.weights[0] if product_of(node) is not None else ""
            if name and name not in self._shards and graph.weights[name].size >= replicated:
                self._shards[name] = self._store(node)
        bring.connect()
        self._held = {
            name: tensor(array).to(device, dtype).contiguous()
            for name, array in graph.weights.items()
            if name not in self._shards
        }
        self._node_weights: dict[str, NodeWeights] = {}
        self._spread: dict[str, DistributedProduct] = {}
        self._buffers: tuple[Tensor, ...] = ()
        self._fetching = Fetch((), bring, ())

    @property
    def bytes(self) -> int:
        """The bytes of weights on the device: shards, whole weights, and buffers of parts."""
        whole = sum(tensor.nbytes for tensor in (*self._held.values(), *self._buffers))
        return whole + self._bring.bytes

    def holds(self, nodes: Iterable[Node]) -> bool:
        """Return True if no weight of these nodes lies in shards."""
        return not any(name in self._shards for node in nodes for name in node.weights)

    @contextmanager
    def holding(self, nodes: Sequence[Node], most: int) -> Iterator[frozenset[str]]:
        """Hold the weights of these nodes whole meanwhile, if they have at most `most` numbers.

        Yields the names of the nodes whose weights lie in shards before and after. All ranks must
        enter this together.
        """
        names = {name for node in nodes for name in node.weights if name in self._shards}
        if sum(self._arrays[name].size for name in names) > most:
            names = set()
        # Each rank fetches them in the order of the nodes.
        whole = {name: self[name] for node in nodes for name in node.weights if name in names}
        shards = {name: self._shards.pop(name) for name in whole}
        holders = frozenset(node.name for node in nodes if names.intersection(node.weights))
        self._held |= whole
        try:
            yield holders
        finally:
            self._shards |= shards
            for name in whole:
                del self._held[name]
            for node in holders:
                self._node_weights.pop(node, None)

    def stream(self, visits: Iterable[Visit], among: Group | None = None) -> Iterator[NodeWeights]:
        """Yield each node with its weights; parts are fetched in order, one ahead of its use.

        `among` is a group whose ranks hold the same rows (None: there is none). For these, parts
        that lie whole on one rank stay there. Every rank must stream the same nodes. A new stream
        ends the one before it.
        """
        visited = [(visit.node, *self._of(visit, among)) for visit in visits]
        fetch = self._fetch([shard for _, _, shards in visited for shard in shards])
        for node, distributed, shards in visited:
            if not shards and distributed is None:
                yield self._whole(node)
                continue
            parts = fetch.parts(len(shards))
            others = tuple(self[name] for name in node.weights[1:])
            yield NodeWeights(node, others, parts, distributed=distributed)
            # Parts that the caller skipped are fetched all the same, as all ranks must fetch alike.
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

    def _of(
        self, visit: Visit, among: Group | None
    ) -> tuple[DistributedProduct | None, Sequence[Shard]]:
        """Choose what a visit fetches: a weight that stays on its ranks, or the shards of parts.

        If ranks may fetch different parts, only those that the visit needs are chosen. If their
        rows can be read where they lie, only the rows that it needs are.
        """
        node = visit.node
        shards = self._shards.get(node.weights[0], ()) if product_of(node) is not None else ()
        if among is not None and visit.outputs is None and shards:
            distributed = self._distributed_over(node, shards, among)
            if distributed is not None:
                return distributed, ()
        if visit.outputs is None or not self._bring.alone or not shards:
            return None, shards
        needed = [(shard, visit.needed(shard.low, shard.high)) for shard in shards]
        runs = [some for shard, span in needed if span for some in self._some(shard, *span)]
        return None, runs or self._some(shards[0], shards[0].low, shards[0].low + 1)

    def _distributed_over(
        self, node: Node, shards: Sequence[Shard], group: Group
    ) -> DistributedProduct | None:
        """Return the distributed weight of a linear node of one vector.

        The result is None if some part does not lie whole on one rank.
        """
        name, bring = node.weights[0], self._bring
        if not multiplies_one_vector(node):
            return None
        if name not in self._spread:
            holders = [h for shard in shards if (h := bring.holder(shard.stored)) is not None]
            if len(holders) < len(shards):
                return None
            spans = [(shard.low, shard.high) for shard in shards]
            own_shards = (
                s for s, holder in zip(shards, holders, strict=True) if holder == group.rank
            )
            own_weights = [
                weight for s in own_shards if (weight := bring.at_hand(s.stored)) is not None
            ]
            inputs = self._arrays[name].shape[1]
            self._spread[name] = DistributedProduct(
                group, inputs, part_places(spans, holders), own_weights
            )
        return self._spread[name]

    def _some(self, shard: Shard, low: int, high: int) -> list[Shard]:
        """Return the rows `low ≤ i < high` of a weight where they lie, or else their whole part."""
        runs = self._bring.rows(shard.stored, low - shard.low, high - shard.low)
        shards = []
        for run in runs:
            shards.append(Shard(low, low + len(run), run))
            low += len(run)
        return shards or [shard]

    def _whole(self, node: Node) -> NodeWeights:
        node_weights = self._node_weights.get(node.name)
        if node_weights is None or node_weights.node is not node:
            weights = tuple(self._held[name] for name in node.weights)
            node_weights = NodeWeights(node, weights)
            if product_of(node) is not None:
                node_weights = NodeWeights(node, weights[1:], parts_of(node, weights[0]))
            self._node_weights[node.name] = node_weights
        return node_weights

    def _fetch(self, shards: Sequence[Shard]) -> Fetch:
        self._fetching.close()
        if not self._buffers and self._shards:
            self._buffers = tuple(
                torch.empty(self._bring.longest, dtype=self._dtype, device=self._device)
                for _ in range(self._bring.buffers)
            )
        self._fetching = Fetch(shards, self._bring, self._buffers)
        return self._fetching

    def _store(self, node: Node) -> list[Shard]:
        array = self._arrays[node.weights[0]]
        spans = part_spans(node, array.shape)
        # Dim 0 of a transposed convolution's weight is not the outputs; its one part has all rows.
        rows = spans if is_divisible(node) else [(0, len(array))]
        stored = self._bring.store(array, rows)
        return [Shard(*span, piece) for span, piece in zip(spans, stored, strict=True)]
