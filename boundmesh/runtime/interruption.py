"""Ctrl-C on a mesh is remembered, and raised later at a place that all ranks of a group reach."""

from __future__ import annotations

import signal


class Interruption:
    """Remembers whether Ctrl-C was pressed in this process and has not been handled yet.

    `raised` is True once KeyboardInterrupt was raised at once. A library that is being imported may
    then fail with any other exception in its place.
    """

    def __init__(self) -> None:
        self._came = False
        self.raised = False

    def defer(self) -> None:
        """Remember Ctrl-C from now on instead of raising it.

        If a rank left a collective operation, the other ranks would wait for it. A process that
        must end at once can be killed.
        """
        signal.signal(signal.SIGINT, lambda number, frame: self.remember())

    def remember(self) -> None:
        """Remember an interruption. KeyboardInterrupt is raised when the ranks next agree."""
        self._came = True

    def take(self) -> bool:
        """Return whether an interruption came, and forget it."""
        came, self._came = self._came, False
        return came


INTERRUPTION = Interruption()
"""The interruption of this process. Signals belong to a process, so there is only one."""
