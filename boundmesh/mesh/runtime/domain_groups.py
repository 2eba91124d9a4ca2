"""The axis `domains`: groups of ranks that search parts of their own and meet between rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from boundmesh.mesh.runtime.join import Mesh

Value = TypeVar("Value")


class DomainGroups:
    """A rank's view of the groups. Ranks of a group know the same, so each of them talks to those
    of its own place in the other groups, and all hear alike."""

    def __init__(self, mesh: Mesh) -> None:
        self._across, self._within = mesh.domains, mesh.shards
        self.rank, self.size = mesh.domains.rank, mesh.domains.size
        self.place, self.ranks = mesh.shards.rank, mesh.shards.size

    def agree(self, value: Value) -> Value:
        return self._within.agree(value)

    def ranks_say(self, value: Value) -> list[Value]:
        return self._within.every(value)

    def ranks_join(self, mine: Tensor, counts: Sequence[int]) -> Tensor:
        """One all-gather, of as many rows as the rank with the most has."""
        most = max(counts)
        sent = mine.new_zeros(most, mine.shape[1])
        sent[: len(mine)] = mine
        every = mine.new_empty(len(counts) * most, mine.shape[1])
        self._within.all_gather(every, sent).wait()
        return torch.cat([every[r * most : r * most + count] for r, count in enumerate(counts)])

    def first_says(self, value: Value) -> Value:
        return self._across.first_says(value)

    def all_say(self, value: Value) -> list[Value]:
        return self._across.every(value)

    def swap(self, values: Sequence[Value]) -> list[Value]:
        return self._across.swap(values)
