"""Layouts that compute what one device computes, bit for bit, with less of the weights on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from boundmesh.bounds.layout import Layout, Value
from boundmesh.bounds.rows import Tile
from boundmesh.bounds.served import Served
from boundmesh.device import full_precision
from boundmesh.graph.graph import Graph, Node
from boundmesh.mesh.bring import FromHost, FromRanks
from boundmesh.mesh.group import Group
from boundmesh.mesh.regathered import regathered
from boundmesh.mesh.weights import REPLICATED, ShardedWeights


class Gather(Layout):
    """The schedule `gather`: every rank pulls its own tiles back through weights fetched by part.

    `offload` keeps this rank's share of the weights in host memory.
    """

    def __init__(
        self,
        graph: Graph,
        group: Group,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        wave: int = 1,
        offload: bool = False,
        replicated: int = REPLICATED,
    ) -> None:
        full_precision()
        self.group, self.wave = group, wave
        self.device, self.dtype = torch.device(device), dtype
        bring = FromHost(self.device, group) if offload else FromRanks(group)
        self._weights = ShardedWeights(graph, bring, self.device, dtype, replicated)

    @property
    def weights(self) -> ShardedWeights:
        return self._weights

    def stream(self, nodes: Iterable[Node]) -> Iterator[Served]:
        return self._weights.stream(nodes)

    def agree(self, value: Value) -> Value:
        return self.group.agree(value)

    def thrifty(self) -> AbstractContextManager[object]:
        return regathered(self._weights)

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """Every P-th tile; a rank with one too few sweeps a tile without rows, in step with all."""
        mine = [*tiles[self.group.rank :: self.group.size]]
        while len(mine) * self.group.size < len(tiles):
            nothing = slice(0, 0)
            mine.append(Tile(tiles[0].start, nothing, tiles[0].rows.part(nothing)))
        return mine

    def join(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """One all-gather, of results padded to one width."""
        ranks, rounds = self.group.size, len(mine)
        domains, width = len(mine[0]), max(widths)
        sent = mine[0].new_zeros(rounds, domains, width)
        for place, result in enumerate(mine):
            sent[place, :, : result.shape[1]] = result
        every = sent.new_empty(ranks * rounds, domains, width)
        self.group.all_gather(every, sent).wait()
        by_rank = every.unflatten(0, (ranks, rounds))
        return [
            by_rank[place % ranks, place // ranks, :, :width] for place, width in enumerate(widths)
        ]


class Offload(Layout):
    """One device whose weights lie in host memory and are staged part by part."""

    def __init__(
        self,
        graph: Graph,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        wave: int = 1,
        replicated: int = REPLICATED,
    ) -> None:
        full_precision()
        self.device, self.dtype, self.wave = torch.device(device), dtype, wave
        bring = FromHost(self.device)
        self._weights = ShardedWeights(graph, bring, self.device, dtype, replicated)

    @property
    def weights(self) -> ShardedWeights:
        return self._weights

    def stream(self, nodes: Iterable[Node]) -> Iterator[Served]:
        return self._weights.stream(nodes)

    def thrifty(self) -> AbstractContextManager[object]:
        return regathered(self._weights)
