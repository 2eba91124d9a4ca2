"""How a part of a weight comes to a device: from the other ranks, from host memory, or both.

Here a part of `rows` rows lies on P ranks in pieces of c = ⌈rows / P⌉ rows, the last ones filled up
with zeros; the pieces joined, `[P·c, …]`, begin with the part. `peers.py` has another way.
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

# Numbers of weights that are heavy: 784-8192×4-10 has more, 784-4096×8-10 has less.
HEAVY = 160 * 2**20

Span = tuple[int, int]
"""The rows `begin ≤ i < end` of a weight."""


class Waiting(Protocol):
    """Something under way."""

    def wait(self) -> None:
        """Go on when it is done; on a GPU, let what is queued from now on wait for it."""
        ...


class WeightSource(ABC):
    """Holds this rank's share of the weights and brings parts, whole, to this rank.

    `alone` says whether a rank may bring parts that others do not.
    """

    alone: bool
    recordable = False
    """Whether bringing parts can be recorded on a GPU and replayed."""

    @property
    @abstractmethod
    def buffers(self) -> int:
        """How many buffers let a part come while another is used."""

    def wave(self, graph: Graph) -> int:
        """How many tiles share a part: two where weights are so large that another tile is little
        beside what is saved by bringing them half as often."""
        return 2 if sum(array.size for array in graph.weights.values()) >= HEAVY else 1

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Bytes of what this rank holds on its device."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Numbers that a buffer needs for the longest part."""

    @abstractmethod
    def store(self, array: np.ndarray, spans: Sequence[Span]) -> Sequence[Any]:
        """Read this rank's share of a weight; what `begin` takes to bring each part of it."""

    def connect(self) -> None:
        """What ranks do together once all weights are stored."""
        return

    def rows(self, held: Any, begin: int, end: int) -> Sequence[Tensor]:
        """These rows of a part where they lie, in several runs perhaps, if they can be read there;
        otherwise none."""
        return ()

    @property
    def deals(self) -> bool:
        """Whether it deals the parts of some weights whole, each to one rank."""
        return False

    def holder(self, held: Any) -> int | None:
        """The rank that holds a part whole, if one does."""
        return None

    def at_hand(self, held: Any) -> Tensor | None:
        """A part that lies whole where this rank can use it."""
        return None

    @abstractmethod
    def begin(self, held: Any, buffer: Tensor) -> tuple[Tensor, Waiting]:
        """Begin to bring a part, which comes to lie in `buffer`."""

    def done_with(self, buffer: Tensor) -> None:
        """Be told that what is queued from now on reads `buffer` no more, until the next `begin`;
        where nothing is said, that is so at the `begin`."""
        return


@dataclass(frozen=True)
class WeightPiece:
    """This rank's rows of a part, `[c, …]`; the part has `rows` on all ranks."""

    mine: Tensor
    rows: int


def weight_piece(
    array: np.ndarray, span: Span, rank: int, ranks: int, dtype: torch.dtype
) -> WeightPiece:
    """A rank's rows of a part, read into host memory."""
    begin, end = span
    height = -(-(end - begin) // ranks)
    first = min(begin + rank * height, end)
    last = min(first + height, end)
    mine = tensor(array[first:last]).to(dtype)
    if last - first < height:
        filled = mine.new_zeros(height, *array.shape[1:])
        filled[: last - first] = mine
        mine = filled
    return WeightPiece(mine, end - begin)


@dataclass
class FromRanks(WeightSource):
    """Pieces lie on the devices; one all-gather brings a part."""

    group: Group
    device: torch.device
    dtype: torch.dtype
    _pieces: list[WeightPiece] = field(default_factory=list)
    alone = False
    buffers = 2

    @property
    def bytes(self) -> int:
        return sum(each.mine.nbytes for each in self._pieces)

    @property
    def longest(self) -> int:
        return max(each.mine.numel() for each in self._pieces) * self.group.size

    def store(self, array: np.ndarray, spans: Sequence[Span]) -> list[WeightPiece]:
        rank, ranks = self.group.rank, self.group.size
        read = [weight_piece(array, span, rank, ranks, self.dtype) for span in spans]
        placed = [WeightPiece(each.mine.to(self.device).contiguous(), each.rows) for each in read]
        self._pieces += placed
        return placed

    def begin(self, held: WeightPiece, buffer: Tensor) -> tuple[Tensor, Waiting]:
        whole = joined(held, buffer, self.group.size)
        return whole[: held.rows], self.group.all_gather(whole, held.mine)


class FromHost(WeightSource):
    """Pieces lie in pinned host memory; a copy beside the computation stages them, and where there
    are several ranks an all-gather joins what each has staged."""

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
        mine = read.mine.contiguous()
        self.longest = max(self.longest, mine.numel() * self._ranks)
        return WeightPiece(mine.pin_memory() if self._cuda else mine, read.rows)

    def begin(self, held: WeightPiece, buffer: Tensor) -> tuple[Tensor, Waiting]:
        whole = joined(held, buffer, self._ranks)
        if self._beside is None:
            return whole[: held.rows], self._stage(whole, held.mine)
        # What is queued so far may still read the buffer that `whole` lies in.
        self._beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._beside):
            return whole[: held.rows], self._stage(whole, held.mine)

    def _stage(self, whole: Tensor, piece: Tensor) -> Waiting:
        height = len(piece)
        mine = whole[self._rank * height : (self._rank + 1) * height]
        mine.copy_(piece, non_blocking=True)
        if self._group is not None:
            return self._group.all_gather(whole, mine)
        return Staged(torch.cuda.current_stream().record_event() if self._cuda else None)


def joined(held: WeightPiece, buffer: Tensor, ranks: int) -> Tensor:
    """The place of a part's pieces in a buffer, `[P·c, …]`."""
    height, *rest = held.mine.shape
    return buffer[: held.mine.numel() * ranks].view(ranks * height, *rest)


@dataclass(frozen=True)
class Staged:
    """A copy queued on a stream of its own; None where it is done already."""

    event: torch.cuda.Event | None

    def wait(self) -> None:
        if self.event is not None:
            torch.cuda.current_stream().wait_event(self.event)
