"""How the engine tells what it is doing, to whoever listens."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

Fact = int | float | str


@runtime_checkable
class Progress(Protocol):
    """What the engine calls; none of the methods may raise or block."""

    def stage(self, name: str, detail: str = "") -> None:
        """A stage begins, and the one before it ends: `("alpha-crown", "9 rows")`."""

    def update(self, **facts: Fact) -> None:
        """What is known now in the running stage: `(iteration=7, margin=-0.13)`."""

    def warn(self, text: str) -> None:
        """Something the user should know whatever the verdict."""


class Silent:
    """Nobody listens."""

    def stage(self, name: str, detail: str = "") -> None:
        """Say nothing."""

    def update(self, **facts: Fact) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""


SILENT = Silent()
