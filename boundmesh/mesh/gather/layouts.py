"""Layouts that compute what one device computes, bit for bit, with less of the weights on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor

from boundmesh.bounds.sweep.layout import DeviceLayout, Value
from boundmesh.bounds.sweep.node_weights import NodeWeights, Visit
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.graph.graph import Graph
from boundmesh.kernels import matmul
from boundmesh.mesh.gather.peers import FromPeers, reachable
from boundmesh.mesh.gather.sources import FromHost, FromRanks, WeightSource
from boundmesh.mesh.gather.weights import REPLICATED, ShardedWeights
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.regathered import regathered
from boundmesh.runtime.device import full_precision

# Rows of a tile, times domains, that are so few that they go to the weights.
FEW_ROWS = 64


class Gather(DeviceLayout):
    """The schedule `gather`: every rank pulls its own tiles back through weights fetched by part.

    `offload` keeps this rank's share of the weights in host memory.
    """

    def __init__(
        self,
        graph: Graph,
        group: Group,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        wave: int | None = None,
        offload: bool = False,
        replicated: int = REPLICATED,
    ) -> None:
        full_precision()
        self.group = group
        self.device, self.dtype = torch.device(device), dtype
        bring = _bring(group, self.device, dtype, offload)
        self.wave = wave or bring.wave(graph)
        self.recordable = bring.recordable
        self._weights = ShardedWeights(graph, bring, self.device, dtype, replicated)
        self._few = FEW_ROWS if bring.deals and self._adds_exactly() else 0
        self._again = partial(
            Gather, graph, group, device, torch.float64, wave, offload, replicated
        )

    def in_float64(self) -> DeviceLayout:
        return self._again()

    @property
    def weights(self) -> ShardedWeights:
        return self._weights

    @property
    def own_domains(self) -> OwnDomains:
        return OwnDomains(self)

    def suited(self, tiles: Sequence[Tile], domains: int) -> DeviceLayout:
        """This one, but for a single tile of few rows."""
        few = len(tiles) == 1 and tiles[0].rows.count * domains <= self._few
        return FewRows(self) if few else self

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._weights.stream(visits)

    def agree(self, value: Value) -> Value:
        return self.group.agree(value)

    def thrifty(self) -> AbstractContextManager[object]:
        return regathered(self._weights)

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """A run of ⌈n / P⌉ tiles, whose unit rows stand in few parts of a weight; a rank with too
        few sweeps tiles without rows, in step with all."""
        rounds = -(-len(tiles) // self.group.size)
        first, nothing = self.group.rank * rounds, slice(0, 0)
        mine = [*tiles[first : first + rounds]]
        empty = Tile(tiles[0].start, nothing, tiles[0].rows.part(nothing))
        return mine + [empty] * (rounds - len(mine))

    def join(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """One all-gather, of results padded to one width."""
        width = max(widths)
        sent = torch.stack([_padded(result, width) for result in mine])
        every = sent.new_empty(self.group.size * len(mine), *sent.shape[1:])
        self.group.all_gather(every, sent).wait()
        return [result[:, :width] for result, width in zip(every, widths, strict=False)]

    def _adds_exactly(self) -> bool:
        """Whether all ranks multiply by kernels that give the same bits whether a product is added
        at once or later; of others it is not known."""
        exact = self.dtype == torch.float32 and matmul.usable(self.device)
        return all(self.group.every(exact))


def _padded(result: Tensor, width: int) -> Tensor:
    missing = width - result.shape[1]
    return torch.nn.functional.pad(result, (0, missing)) if missing else result


class OverGather(DeviceLayout):
    """Another division of the work over the same weights."""

    def __init__(self, gather: Gather) -> None:
        self.device, self.dtype, self.wave = gather.device, gather.dtype, gather.wave
        self.recordable = gather.recordable
        self._gather = gather

    def in_float64(self) -> DeviceLayout:
        return self._gather.in_float64()

    @property
    def weights(self) -> ShardedWeights:
        return self._gather.weights

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._gather.stream(visits)

    def agree(self, value: Value) -> Value:
        return self._gather.agree(value)

    def thrifty(self) -> AbstractContextManager[object]:
        return self._gather.thrifty()


class FewRows(OverGather):
    """One tile of few rows, which all ranks have, and multiply with the parts of weights that they
    hold. All else they do alike, so there is nothing to join."""

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._gather.weights.stream(visits, among=self._gather.group)


class OwnDomains(OverGather):
    """Ranks bound domains of their own: no tile is dealt, but weights still come to all of them
    together."""

    def in_float64(self) -> DeviceLayout:
        return self._gather.in_float64().own_domains

    def some(self, mask: Tensor) -> Tensor:
        """One all-reduce of how many ranks say so."""
        ranks = mask.to(torch.int32)
        self._gather.group.all_reduce(ranks)
        return ranks > 0


class Offload(DeviceLayout):
    """One device whose weights lie in host memory and are staged part by part."""

    def __init__(
        self,
        graph: Graph,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        wave: int | None = None,
        replicated: int = REPLICATED,
    ) -> None:
        full_precision()
        self.device, self.dtype = torch.device(device), dtype
        bring = FromHost(self.device, dtype)
        self.wave = wave or bring.wave(graph)
        self._weights = ShardedWeights(graph, bring, self.device, dtype, replicated)
        self._again = partial(Offload, graph, device, torch.float64, wave, replicated)

    def in_float64(self) -> DeviceLayout:
        return self._again()

    @property
    def weights(self) -> ShardedWeights:
        return self._weights

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._weights.stream(visits)

    def thrifty(self) -> AbstractContextManager[object]:
        return regathered(self._weights)


def _bring(group: Group, device: torch.device, dtype: torch.dtype, offload: bool) -> WeightSource:
    """Parts come from host memory, else straight from the ranks that hold them where GPUs can read
    each other's memory, else by collectives."""
    if offload:
        return FromHost(device, dtype, group)
    if reachable(group, device):
        return FromPeers(group, device, dtype)
    return FromRanks(group, device, dtype)
