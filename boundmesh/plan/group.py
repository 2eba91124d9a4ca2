"""Ranks that are only imagined: their collectives report the bytes that would arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.mesh.gather.peers import FromPeers
from boundmesh.mesh.gather.sources import Span, Staged
from boundmesh.mesh.runtime.group import Group, Value

Received = Callable[[int], None]
"""A function that is called with the number of bytes that this rank receives."""


@dataclass(frozen=True)
class Done:
    """A collective that is over."""

    def wait(self) -> None:
        return


class ImaginedGroup(Group):
    """A group of `size` ranks of which this process plays the first."""

    def __init__(self, size: int, report: Received) -> None:
        self.rank, self.size = 0, size
        self.calls: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.report = report

    def all_gather(self, whole: Tensor, piece: Tensor) -> Done:  # type: ignore[override]
        self.report(whole.nbytes - piece.nbytes)
        return Done()

    def all_gather_numbers(self, numbers: Sequence[int], device: torch.device) -> list[list[int]]:
        return [[*numbers]] * self.size

    def reduce_scatter(self, piece: Tensor, whole: Tensor) -> Done:  # type: ignore[override]
        self.report(whole.nbytes - piece.nbytes)
        return Done()

    def all_to_all(  # type: ignore[override]
        self, received: Tensor, sent: Tensor, takes: list[int], gives: list[int]
    ) -> Done:
        kept = received[0].nbytes * takes[0] if len(received) else 0
        self.report(received.nbytes - kept)
        return Done()

    def all_reduce(self, values: Tensor) -> None:
        self.report(values.nbytes)

    def first_says(self, value: Value) -> Value:
        return value

    def agree(self, value: Value) -> Value:
        return value

    def all_gather_object(self, value: Value) -> list[Value]:
        return [value] * self.size


class ImaginedPeers(FromPeers):
    """The source of a rank that reads the weights of other ranks of its host.

    What lies on another rank takes no memory here.
    """

    def __init__(self, group: ImaginedGroup, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(group, device, dtype)
        self._report = group.report

    def store(self, array: np.ndarray, spans: Sequence[Span]) -> list[int]:
        held = super().store(array, spans)
        for number, (begin, end) in zip(held, spans, strict=True):
            self._parts.append(self._pieces(number, end - begin, array.shape[1:]))
        return held

    def _pieces(self, number: int, rows: int, rest: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Return the pieces of a part on all ranks; one row stands for all rows of other ranks."""
        ranks = self._sources[number]
        row = torch.empty(1, *rest, dtype=self._dtype, device=self._device)
        height = -(-rows // len(ranks))
        return tuple(
            self._mine[number]
            if rank == self._group.rank
            else row.expand(min(height, rows - place * height), *rest)
            for place, rank in enumerate(ranks)
        )

    def connect(self) -> None:
        """Map nothing, as `store` made the parts of all ranks."""

    def at_hand(self, held: int) -> Tensor | None:
        parts = self._parts[held]
        return parts[0] if held in self._mine and len(parts) == 1 else None

    def begin(self, held: int, buffer: Tensor) -> tuple[Tensor, Staged]:
        pieces = self._parts[held]
        self._report(sum(piece.nbytes for piece in pieces if piece is not self._mine.get(held)))
        size = sum(piece.numel() for piece in pieces)
        rows = sum(len(piece) for piece in pieces)
        return buffer[:size].view(rows, *pieces[0].shape[1:]), Staged(None)
