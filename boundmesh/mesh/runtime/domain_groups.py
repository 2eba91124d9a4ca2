"""The axis `domains` of a mesh: groups of ranks that search different parts of the domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from boundmesh.mesh.runtime.join import Mesh

Value = TypeVar("Value")


class DomainGroups:
    """The collectives within this rank's group and across groups.

    number         the number of this group, from 0
    size           the number of groups
    rank_in_group  the number of this rank in its group, from 0
    ranks          the number of ranks in a group

    All ranks of a group hold the same state of the search. Each of them exchanges messages with the
    ranks of the same number in the other groups, so all ranks of a group receive the same values.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._across, self._within = mesh.domains, mesh.shards
        self.number, self.size = mesh.domains.rank, mesh.domains.size
        self.rank_in_group, self.ranks = mesh.shards.rank, mesh.shards.size

    def agree(self, value: Value) -> Value:
        return self._within.agree(value)

    def all_gather_ranks(self, value: Value) -> list[Value]:
        return self._within.all_gather_object(value)

    def all_gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Concatenate the rows `[counts[r], n]` of all ranks r, by one padded all-gather."""
        most = max(counts)
        sent = rows.new_zeros(most, rows.shape[1])
        sent[: len(rows)] = rows
        gathered = rows.new_empty(len(counts) * most, rows.shape[1])
        self._within.all_gather(gathered, sent).wait()
        return torch.cat([gathered[r * most : r * most + count] for r, count in enumerate(counts)])

    def broadcast_object(self, value: Value) -> Value:
        return self._across.broadcast_object(value)

    def all_gather_objects(self, value: Value) -> list[Value]:
        return self._across.all_gather_object(value)

    def swap(self, values: Sequence[Value]) -> list[Value]:
        return self._across.swap(values)
