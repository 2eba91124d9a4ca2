"""Collects what a VNN-LIB file has that the standard 2.0 does not."""

from __future__ import annotations

from boundmesh.errors import PropertyError
from boundmesh.read.declarations import Declarations


class Departures:
    """The departures of a file from the standard 2.0, in words, each once.

    declarations  those of the file, with its version; a file of version 1 has no departures
    strict        True where the standard must be kept
    """

    def __init__(self, declarations: Declarations, strict: bool) -> None:
        self._declarations, self._strict = declarations, strict
        self._met: dict[str, None] = {}

    def meet(self, what: str) -> None:
        """Remember a departure; raise PropertyError if the standard must be kept."""
        if self._declarations.version != "2":
            return
        if self._strict:
            raise PropertyError(f"VNN-LIB 2.0 does not have {what}; it is read without --strict")
        self._met.setdefault(f"VNN-LIB 2.0 does not have {what}")

    @property
    def met(self) -> tuple[str, ...]:
        return tuple(self._met)
