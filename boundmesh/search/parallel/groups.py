"""Groups of ranks that search together: how they exchange values, and how all of them stop.

Every group works alone between two meetings, and all groups meet equally often. A group that is
ended by the deadline, by Ctrl-C or by an error sends the reason in its next meeting, and so ends
all groups.
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
    """The groups of a mesh along its axis `domains`, as seen by one rank of one group.

    number         the number of this group, from 0
    size           the number of groups
    rank_in_group  the number of this rank in its group, from 0
    ranks          the number of ranks in this group

    All groups must call the methods for groups in the same order. All ranks of a group must call
    the methods for ranks in the same order.
    """

    number: int
    size: int
    rank_in_group: int
    ranks: int

    def agree(self, value: Value) -> Value:
        """Return the value of this group's first rank.

        Raises KeyboardInterrupt if the user interrupted it.
        """
        ...

    def all_gather_ranks(self, value: Value) -> list[Value]:
        """Exchange values in this group; return that of every rank, in the order of ranks."""
        ...

    def all_gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Exchange rows in this group; return those `[K, B]` of every rank, in the order of ranks.

        Rank r has `counts[r]` rows.
        """
        ...

    def broadcast_object(self, value: Value) -> Value:
        """Return the first group's value."""
        ...

    def all_gather_objects(self, value: Value) -> list[Value]:
        """Exchange values; return that of every group, in the order of groups."""
        ...

    def swap(self, values: Sequence[Value]) -> list[Value]:
        """Send `values[g]` to each group g; return the values that the groups sent to this one."""
        ...


class OneGroup:
    """The only group, which has one rank."""

    number, size, rank_in_group, ranks = 0, 1, 0, 1

    def agree(self, value: Value) -> Value:
        return value

    def all_gather_ranks(self, value: Value) -> list[Value]:
        return [value]

    def all_gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        return rows

    def broadcast_object(self, value: Value) -> Value:
        return value

    def all_gather_objects(self, value: Value) -> list[Value]:
        return [value]

    def swap(self, values: Sequence[Value]) -> list[Value]:
        return [*values]


ONE_GROUP = OneGroup()


@dataclass(frozen=True)
class Stop:
    """A message that a group sends in place of its value: it has stopped for `reason`."""

    reason: str

    @staticmethod
    def of(error: BaseException) -> Stop:
        """Make the message of an error.

        The reason is one each for the deadline or an interruption, the text of a BoundmeshError,
        and the whole traceback of any other error.
        """
        if isinstance(error, OutOfTime | KeyboardInterrupt):
            return Stop(type(error).__name__)
        if isinstance(error, BoundmeshError):
            return Stop(str(error))
        return Stop("".join(traceback.format_exception(error)))

    def error(self) -> BaseException:
        """Return the error that the other groups raise."""
        known = {"OutOfTime": OutOfTime(), "KeyboardInterrupt": KeyboardInterrupt()}
        return known.get(self.reason) or DeviceError(f"a group of domains failed: {self.reason}")


class Meetings:
    """The meetings of one search."""

    def __init__(self, groups: Groups = ONE_GROUP) -> None:
        self.groups = groups
        self._over = False

    @property
    def first(self) -> bool:
        """True for the group that a search begins in."""
        return self.groups.number == 0

    def own_part(self, values: Tensor) -> Tensor:
        """Return this group's share of values that all groups have: with k groups, every k-th."""
        return values[self.groups.number :: self.groups.size]

    def exchange(self, value: Value) -> list[Value]:
        """Exchange values; return that of every group.

        Raises the error that stopped another group.
        """
        # After an error in the exchange itself, no message can be sent to the other groups.
        self._over = True
        received = self.groups.all_gather_objects(value)
        for message in received:
            if isinstance(message, Stop):
                raise message.error()
        self._over = False
        return received

    def swap(self, values: Sequence[Value]) -> list[Value]:
        """Send `values[g]` to each group g; return the values that this group received.

        All groups must have agreed on the exchange just before.
        """
        self._over = True
        received = self.groups.swap(values)
        self._over = False
        return received

    @contextmanager
    def ending_all(self) -> Iterator[None]:
        """End the work of all groups where an error leaves the context."""
        try:
            yield
        except BaseException as error:
            if not self._over:
                self._over = True
                self.groups.all_gather_objects(Stop.of(error))
            raise
