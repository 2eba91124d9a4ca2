"""Ranks that are only imagined: collectives return at once and move nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.mesh.gather.peers import FromPeers
from boundmesh.mesh.gather.sources import Span
from boundmesh.mesh.runtime.group import Group, Value


@dataclass(frozen=True)
class Done:
    """A collective that is over."""

    def wait(self) -> None:
        return


class ImaginedGroup(Group):
    """A group of `size` ranks of which this process plays the first."""

    def __init__(self, size: int) -> None:
        self.rank, self.size = 0, size
        self.calls: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    def all_gather(self, whole: Tensor, mine: Tensor) -> Done:  # type: ignore[override]
        self._count("all_gather", whole.nbytes - mine.nbytes)
        return Done()

    def reduce_scatter(self, mine: Tensor, whole: Tensor) -> Done:  # type: ignore[override]
        self._count("reduce_scatter", whole.nbytes - mine.nbytes)
        return Done()

    def all_to_all(  # type: ignore[override]
        self, received: Tensor, sent: Tensor, takes: list[int], gives: list[int]
    ) -> Done:
        self._count("all_to_all", received.nbytes)
        return Done()

    def all_reduce(self, values: Tensor) -> None:
        self._count("all_reduce", values.nbytes)

    def first_says(self, value: Value) -> Value:
        return value

    def agree(self, value: Value) -> Value:
        return value

    def every(self, value: Value) -> list[Value]:
        return [value] * self.size


class ImaginedPeers(FromPeers):
    """The source of a rank that reads the weights of other ranks of its host.

    What lies on another rank takes no memory here.
    """

    def store(self, array: np.ndarray, spans: Sequence[Span]) -> list[int]:
        held = super().store(array, spans)
        for number, (begin, end) in zip(held, spans, strict=True):
            ranks = self._sources[number]
            height = -(-(end - begin) // len(ranks))
            pieces = (
                torch.zeros(())
                .to(self._dtype)
                .expand(min(height, end - begin - place * height), *array.shape[1:])
                for place in range(len(ranks))
            )
            self._parts.append(
                tuple(
                    self._mine[number] if rank == self._group.rank else piece
                    for rank, piece in zip(ranks, pieces, strict=True)
                )
            )
        return held

    def connect(self) -> None:
        """Map nothing: `store` made the parts of all ranks."""
