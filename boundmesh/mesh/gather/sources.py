"""Sources of weights: a part reaches a device from the other ranks, from host memory, or both.

A part of `rows` rows lies on P ranks in pieces of c = ⌈rows / P⌉ rows; the last pieces are padded
with zeros. The concatenated pieces, `[P·c, …]`, begin with the part. `peers.py` divides parts in
another way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.group import Group

# A network with so many weights or more is heavy: 784-8192×4-10 has more, 784-4096×8-10 has fewer.
HEAVY = 160 * 2**20

Span = tuple[int, int]
"""The rows `begin ≤ i < end` of a weight."""


class Waiting(Protocol):
    """A copy or collective that may still be running."""

    def wait(self) -> None:
        """Wait until it is done. On a GPU, only work that is queued from now on waits for it."""
        ...


class WeightSource(ABC):
    """Holds this rank's shard of the weights and fetches whole parts to its device.

    alone       true if a rank may fetch parts that other ranks do not fetch
    recordable  true if fetching can be recorded as a CUDA graph and replayed
    """

    alone: bool
    recordable = False

    @property
    @abstractmethod
    def buffers(self) -> int:
        """How many buffers are needed to fetch one part while another is used."""

    def wave(self, graph: Graph) -> int:
        """Return how many tiles share each fetched part.

        There are two for heavy networks: weights are then fetched half as often, and the memory of
        a second tile is small beside that of the weights.
        """
        return 2 if sum(array.size for array in graph.weights.values()) >= HEAVY else 1

    @property
    @abstractmethod
    def bytes(self) -> int:
        """The bytes of this rank's shard on its device."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """How many numbers a buffer needs for the largest part."""

    @abstractmethod
    def store(self, array: np.ndarray, spans: Sequence[Span]) -> Sequence[Any]:
        """Store this rank's shard of a weight; return the key with which `begin` fetches each part.

        `spans` are the rows of the parts.
        """

    def connect(self) -> None:
        """Do the work that ranks must do together after all weights are stored."""
        return

    def rows(self, stored: Any, begin: int, end: int) -> Sequence[Tensor]:
        """Return the rows `begin ≤ i < end` of a part where they lie, in one or more runs.

        The result is empty if this rank cannot read them there.
        """
        return ()

    @property
    def deals(self) -> bool:
        """True if some weights have parts that each lie whole on one rank."""
        return False

    def holder(self, stored: Any) -> int | None:
        """Return the rank that holds a part whole, or None."""
        return None

    def at_hand(self, stored: Any) -> Tensor | None:
        """Return a part that this rank can use without a copy, or None."""
        return None

    @abstractmethod
    def begin(self, stored: Any, buffer: Tensor) -> tuple[Tensor, Waiting]:
        """Start to fetch a part into `buffer`; return the part, and what to wait for."""

    def done_with(self, buffer: Tensor) -> None:
        """Note that work queued from now on does not read `buffer`, until the next `begin`.

        If this is not called, the next `begin` waits for all work that is queued before it.
        """
        return


@dataclass(frozen=True)
class WeightPiece:
    """This rank's piece of a part.

    own_rows  this rank's rows, `[c, …]`, padded with zeros
    rows      how many rows the part has on all ranks together
    """

    own_rows: Tensor
    rows: int


def weight_piece(
    array: np.ndarray, span: Span, rank: int, ranks: int, dtype: torch.dtype
) -> WeightPiece:
    """Read a rank's rows of a part into host memory."""
    begin, end = span
    height = -(-(end - begin) // ranks)
    first = min(begin + rank * height, end)
    last = min(first + height, end)
    rows = tensor(array[first:last]).to(dtype)
    if last - first < height:
        filled = rows.new_zeros(height, *array.shape[1:])
        filled[: last - first] = rows
        rows = filled
    return WeightPiece(rows, end - begin)


@dataclass
class FromRanks(WeightSource):
    """A source whose pieces lie on the devices; an all-gather fetches a part."""

    group: Group
    device: torch.device
    dtype: torch.dtype
    _pieces: list[WeightPiece] = field(default_factory=list)
    alone = False
    buffers = 2

    @property
    def bytes(self) -> int:
        return sum(piece.own_rows.nbytes for piece in self._pieces)

    @property
    def longest(self) -> int:
        return max(piece.own_rows.numel() for piece in self._pieces) * self.group.size

    def store(self, array: np.ndarray, spans: Sequence[Span]) -> list[WeightPiece]:
        rank, ranks = self.group.rank, self.group.size
        read = [weight_piece(array, span, rank, ranks, self.dtype) for span in spans]
        placed = [
            WeightPiece(piece.own_rows.to(self.device).contiguous(), piece.rows) for piece in read
        ]
        self._pieces += placed
        return placed

    def begin(self, stored: WeightPiece, buffer: Tensor) -> tuple[Tensor, Waiting]:
        whole = joined(stored, buffer, self.group.size)
        return whole[: stored.rows], self.group.all_gather(whole, stored.own_rows)


class FromHost(WeightSource):
    """A source whose pieces lie in pinned host memory.

    A piece is copied to the device while products run. If there are several ranks, an all-gather of
    these pieces follows.
    """

    buffers = 2
    bytes = 0
    longest = 0

    def __init__(
        self, device: torch.device, dtype: torch.dtype, group: Group | None = None
    ) -> None:
        self._group, self._cuda, self._dtype = group, device.type == "cuda", dtype
        self._rank, self._ranks = (group.rank, group.size) if group else (0, 1)
        self._beside = torch.cuda.Stream(device) if self._cuda else None
        self.alone = group is None

    def store(self, array: np.ndarray, spans: Sequence[Span]) -> list[WeightPiece]:
        return [
            self._keep(weight_piece(array, s, self._rank, self._ranks, self._dtype)) for s in spans
        ]

    def _keep(self, read: WeightPiece) -> WeightPiece:
        rows = read.own_rows.contiguous()
        self.longest = max(self.longest, rows.numel() * self._ranks)
        return WeightPiece(rows.pin_memory() if self._cuda else rows, read.rows)

    def begin(self, stored: WeightPiece, buffer: Tensor) -> tuple[Tensor, Waiting]:
        whole = joined(stored, buffer, self._ranks)
        if self._beside is None:
            return whole[: stored.rows], self._stage(whole, stored.own_rows)
        # Work that is queued already may still read the buffer that contains `whole`.
        self._beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._beside):
            return whole[: stored.rows], self._stage(whole, stored.own_rows)

    def _stage(self, whole: Tensor, piece: Tensor) -> Waiting:
        height = len(piece)
        own_rows = whole[self._rank * height : (self._rank + 1) * height]
        own_rows.copy_(piece, non_blocking=True)
        if self._group is not None:
            return self._group.all_gather(whole, own_rows)
        return Staged(torch.cuda.current_stream().record_event() if self._cuda else None)


def joined(stored: WeightPiece, buffer: Tensor, ranks: int) -> Tensor:
    """Return the view `[P·c, …]` of a buffer that will contain all pieces of a part."""
    height, *rest = stored.own_rows.shape
    return buffer[: stored.own_rows.numel() * ranks].view(ranks * height, *rest)


@dataclass(frozen=True)
class Staged:
    """A copy that is queued on another stream; `event` marks its end (None: it is done)."""

    event: torch.cuda.Event | None

    def wait(self) -> None:
        if self.event is not None:
            torch.cuda.current_stream().wait_event(self.event)
