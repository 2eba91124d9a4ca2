"""Defines a register: a table of named entries that a program can extend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


class Register(dict[str, Entry]):
    """Entries by name, in the order in which they were registered.

    kind      what an entry is, for the message about a name that is taken
    accepted  the names that settings accept, which the entries' names are added to
    reserved  names that no entry may have
    """

    def __init__(
        self, kind: str, accepted: list[str] | None = None, reserved: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self._kind, self._reserved = kind, frozenset(reserved)
        self._accepted = [] if accepted is None else accepted

    def register(self, entry: Entry) -> Entry:
        """Enter an entry under its name, which settings then accept.

        Raises ValueError where the name is taken.
        """
        if entry.name in self or entry.name in self._reserved:
            raise ValueError(f"the name '{entry.name}' of {self._kind} is taken; choose another")
        self[entry.name] = entry
        if entry.name not in self._accepted:
            self._accepted.append(entry.name)
        return entry

    def remove(self, entry: Entry) -> None:
        """Take an entry out, and its name out of those that settings accept."""
        del self[entry.name]
        self._accepted.remove(entry.name)
