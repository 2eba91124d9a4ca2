"""The axis `domains`: groups of ranks that search parts of their own and meet between rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from boundmesh.mesh.join import Mesh

Value = TypeVar("Value")


class DomainGroups:
    """A rank's view of the groups. Ranks of a group know the same, so each of them talks to those
    of its own place in the other groups, and all hear alike."""

    def __init__(self, mesh: Mesh) -> None:
        self._across, self._within = mesh.domains, mesh.shards
        self.rank, self.size, self.ranks = mesh.domains.rank, mesh.domains.size, mesh.shards.size

    def agree(self, value: Value) -> Value:
        return self._within.agree(value)

    def first_says(self, value: Value) -> Value:
        return self._across.first_says(value)

    def all_say(self, value: Value) -> list[Value]:
        return self._across.every(value)

    def swap(self, values: Sequence[Value]) -> list[Value]:
        return self._across.swap(values)
