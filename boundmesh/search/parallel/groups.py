"""How groups of ranks search together: what they say to each other, and how all of them stop.

Every group runs on its own between two meetings. All of them meet equally often: whatever ends the
work of one, the deadline, Ctrl-C or an error, it says in the next meeting, and so ends all.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from boundmesh.errors import BoundmeshError, DeviceError
from boundmesh.runtime.clock import OutOfTime

Value = TypeVar("Value")


class Groups(Protocol):
    """The groups of a mesh along its axis of domains, and this one's place among them.

    Every group calls the same methods in the same order, but those for ranks of one group: its
    `ranks`, of which this is the one at `place`, work in step.
    """

    rank: int
    size: int
    ranks: int
    place: int

    def agree(self, value: Value) -> Value:
        """The value of this group's first rank; KeyboardInterrupt where it was asked to end."""
        ...

    def ranks_say(self, value: Value) -> list[Value]:
        """The value of every rank of this group, in their order."""
        ...

    def ranks_join(self, mine: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows `[K, B]` of every rank of this group, in their order, of which rank r has
        `counts[r]`."""
        ...

    def first_says(self, value: Value) -> Value:
        """The first group's value."""
        ...

    def all_say(self, value: Value) -> list[Value]:
        """Every group's value, in their order."""
        ...

    def swap(self, values: Sequence[Value]) -> list[Value]:
        """Give `values[g]` to each group g; what each has for this one, in their order."""
        ...


class OneGroup:
    """The only group, of one rank."""

    rank, size, ranks, place = 0, 1, 1, 0

    def agree(self, value: Value) -> Value:
        return value

    def ranks_say(self, value: Value) -> list[Value]:
        return [value]

    def ranks_join(self, mine: Tensor, counts: Sequence[int]) -> Tensor:
        return mine

    def first_says(self, value: Value) -> Value:
        return value

    def all_say(self, value: Value) -> list[Value]:
        return [value]

    def swap(self, values: Sequence[Value]) -> list[Value]:
        return [*values]


ONE_GROUP = OneGroup()


@dataclass(frozen=True)
class Stop:
    """What a group says instead of what it would have said: it has stopped, and why."""

    reason: str

    @staticmethod
    def of(error: BaseException) -> Stop:
        """In one word for what ends a search in order, whole for a defect."""
        if isinstance(error, OutOfTime | KeyboardInterrupt):
            return Stop(type(error).__name__)
        if isinstance(error, BoundmeshError):
            return Stop(str(error))
        return Stop("".join(traceback.format_exception(error)))

    def error(self) -> BaseException:
        """What stops the other groups."""
        known = {"OutOfTime": OutOfTime(), "KeyboardInterrupt": KeyboardInterrupt()}
        return known.get(self.reason) or DeviceError(f"a group of domains failed: {self.reason}")


class Meetings:
    """The meetings of one search."""

    def __init__(self, groups: Groups = ONE_GROUP) -> None:
        self.groups = groups
        self._over = False

    @property
    def first(self) -> bool:
        """Whether this is the group that a search begins with."""
        return self.groups.rank == 0

    def mine(self, values: Tensor) -> Tensor:
        """This group's share of values that all have: every k-th of k groups."""
        return values[self.groups.rank :: self.groups.size]

    def say(self, value: Value) -> list[Value]:
        """Every group's value; raises what another one has stopped for."""
        # An error within leaves nobody to talk to.
        self._over = True
        said = self.groups.all_say(value)
        for word in said:
            if isinstance(word, Stop):
                raise word.error()
        self._over = False
        return said

    def swap(self, values: Sequence[Value]) -> list[Value]:
        """Give `values[g]` to each group g, right after all have agreed to; what this one gets."""
        self._over = True
        received = self.groups.swap(values)
        self._over = False
        return received

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever ends the work within too early ends that of all groups."""
        try:
            yield
        except BaseException as error:
            if not self._over:
                self._over = True
                self.groups.all_say(Stop.of(error))
            raise
