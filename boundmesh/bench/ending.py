"""Ends a command on a signal, without losing the results so far."""

from __future__ import annotations

import signal
from types import FrameType

from boundmesh.runtime.interruption import INTERRUPTION
from boundmesh.runtime.rank import inside


class Ending:
    """A context in which Ctrl-C (SIGINT) and SIGTERM raise KeyboardInterrupt and set `came`.

    By `came` work that was broken off differs from work that came to its end. Contexts may lie in
    each other; a signal sets `came` of the inner one alone.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> Ending:
        self._before = [signal.signal(number, self._interrupt) for number in self.SIGNALS]
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in zip(self.SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        if inside():
            INTERRUPTION.remember()
        else:
            INTERRUPTION.raised = True
            raise KeyboardInterrupt
