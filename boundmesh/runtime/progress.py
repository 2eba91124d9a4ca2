"""The interface through which the engine reports its progress."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

Fact = int | float | str


@runtime_checkable
class Progress(Protocol):
    """The methods that the engine calls. None of them may raise or block."""

    def stage(self, name: str, detail: str = "") -> None:
        """Report that a stage begins and the one before it ends, as in `("crown", "9 rows")`."""

    def update(self, **facts: Fact) -> None:
        """Report facts of the running stage, such as `(iteration=7, margin=-0.13)`."""

    def warn(self, text: str) -> None:
        """Report something that the user should know whatever the verdict is."""


class Silent:
    """A Progress that reports nothing."""

    def stage(self, name: str, detail: str = "") -> None:
        """Do nothing."""

    def update(self, **facts: Fact) -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Do nothing."""


SILENT = Silent()
