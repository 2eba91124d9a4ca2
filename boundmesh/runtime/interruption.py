"""Ctrl-C on a mesh: remembered, and raised where all ranks of a group stand at one place."""

from __future__ import annotations

import signal


class Interruption:
    """Whether this process was asked to end, and has not yet."""

    def __init__(self) -> None:
        self._came = False

    def defer(self) -> None:
        """From now on Ctrl-C is remembered: a rank that left a collective would leave the others
        waiting. A process that must go at once can be killed."""
        signal.signal(signal.SIGINT, lambda number, frame: self.remember())

    def remember(self) -> None:
        """Raise KeyboardInterrupt at the next agreement."""
        self._came = True

    def take(self) -> bool:
        """Whether it came; from now on it has not."""
        came, self._came = self._came, False
        return came


INTERRUPTION = Interruption()
"""That of this process: signals know of no other owner."""
