"""Layouts of the schedule `gather` and of offloading: a device fetches weights part by part.

Each rank holds a shard of the weights. The bounds are those of one device, bit for bit.
"""

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
from boundmesh.operators.node import Node
from boundmesh.runtime.device import full_precision

# The largest product of rows and domains of a tile for which weights stay on their ranks.
FEW_ROWS = 64


class Gather(DeviceLayout):
    """The schedule `gather`: every rank pulls its own tiles back and fetches weights by part.

    If `offload` is true, this rank's shard of the weights lies in host memory. Weights with fewer
    than `replicated` numbers lie on every rank. Weights come from `source`, if it is given.
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
        source: WeightSource | None = None,
    ) -> None:
        full_precision()
        self.group, self.dealers = group, group.size
        self.device, self.dtype = torch.device(device), dtype
        bring = source or _bring(group, self.device, dtype, offload)
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

    def for_tiles(self, tiles: Sequence[Tile], domains: int) -> DeviceLayout:
        """Return `FewRows` for a single tile of few rows, and this layout otherwise."""
        few = len(tiles) == 1 and tiles[0].rows.count * domains <= self._few
        return FewRows(self) if few else self

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._weights.stream(visits)

    def holds(self, nodes: Iterable[Node]) -> bool:
        return self._weights.holds(nodes)

    def holding(self, nodes: Sequence[Node], most: int) -> AbstractContextManager[frozenset[str]]:
        return self._weights.holding(nodes, most)

    def agree(self, value: Value) -> Value:
        return self.group.agree(value)

    def without_fetched_weights(self) -> AbstractContextManager[object]:
        return regathered(self._weights)

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """Return this rank's run of ⌈n / P⌉ of the n tiles.

        The unit rows of neighbouring tiles stand in few parts of a weight. A rank with fewer tiles
        sweeps tiles without rows in addition, so that all ranks run the same collectives.
        """
        rounds = -(-len(tiles) // self.group.size)
        first, nothing = self.group.rank * rounds, slice(0, 0)
        own_tiles = [*tiles[first : first + rounds]]
        empty = Tile(tiles[0].start, nothing, tiles[0].rows.part(nothing), tiles[0].divisions)
        return own_tiles + [empty] * (rounds - len(own_tiles))

    def join(self, results: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        """Collect the results of all tiles by one all-gather, padded to one width."""
        width = max(widths)
        sent = torch.stack([_padded(result, width) for result in results])
        gathered = sent.new_empty(self.group.size * len(results), *sent.shape[1:])
        self.group.all_gather(gathered, sent).wait()
        return [result[:, :width] for result, width in zip(gathered, widths, strict=False)]

    def _adds_exactly(self) -> bool:
        """Return True if a product can be added to a sum at once or later with the same bits.

        This is guaranteed only for the kernel of `matmul.py`, which all ranks must be able to use.
        """
        exact = self.dtype == torch.float32 and matmul.usable(self.device)
        return all(self.group.all_gather_object(exact))


def _padded(result: Tensor, width: int) -> Tensor:
    missing = width - result.shape[1]
    return torch.nn.functional.pad(result, (0, missing)) if missing else result


class OverGather(DeviceLayout):
    """A layout that divides work differently and uses the weights of a `Gather` layout."""

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

    def without_fetched_weights(self) -> AbstractContextManager[object]:
        return self._gather.without_fetched_weights()


class FewRows(OverGather):
    """The layout for one tile of few rows, which every rank holds.

    Each rank multiplies the rows with the parts of weights that it holds, and all ranks exchange
    the results. Every rank computes everything else itself, so no results are joined.
    """

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._gather.weights.stream(visits, among=self._gather.group)


class OwnDomains(OverGather):
    """The layout in which every rank bounds domains of its own.

    Tiles are not divided. Weights still reach all ranks together, as fetching can be collective.
    """

    def in_float64(self) -> DeviceLayout:
        return self._gather.in_float64().own_domains

    def on_any_rank(self, mask: Tensor) -> Tensor:
        """Count by one all-reduce on how many ranks the mask is true."""
        ranks = mask.to(torch.int32)
        self._gather.group.all_reduce(ranks)
        return ranks > 0


class Offload(DeviceLayout):
    """The layout of one device whose weights lie in host memory and are copied part by part."""

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

    def holds(self, nodes: Iterable[Node]) -> bool:
        return self._weights.holds(nodes)

    def holding(self, nodes: Sequence[Node], most: int) -> AbstractContextManager[frozenset[str]]:
        return self._weights.holding(nodes, most)

    def without_fetched_weights(self) -> AbstractContextManager[object]:
        return regathered(self._weights)


def _bring(group: Group, device: torch.device, dtype: torch.dtype, offload: bool) -> WeightSource:
    """Choose where parts of weights come from.

    With `offload` they come from host memory. Otherwise they are copied from the ranks that hold
    them, if GPUs can read each other's memory, and else they come by collectives.
    """
    if offload:
        return FromHost(device, dtype, group)
    if reachable(group, device):
        return FromPeers(group, device, dtype)
    return FromRanks(group, device, dtype)
