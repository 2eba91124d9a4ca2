"""Seconds per stage, and the moment when time is up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from boundmesh.runtime.progress import SILENT, Progress


class OutOfTime(Exception):
    """The deadline has passed; whoever holds the best bounds so far catches it."""


Value = TypeVar("Value")


class Agree(Protocol):
    """What the first rank's value is, told to all."""

    def __call__(self, value: Value) -> Value: ...


def _alone(value: Value) -> Value:
    return value


class Clock:
    """Starts when made, or at `begun` on time.monotonic; `seconds` maps each stage to what it took.

    Where several ranks work in step, `agree` gives every rank the first one's value. Ranks start
    at different moments, and what reading took leaves each with a timeout of its own, so nothing
    but the first rank's `spent` and `left` decides: every rank must read them equally often.
    """

    def __init__(
        self,
        timeout: float | None = None,
        progress: Progress = SILENT,
        begun: float | None = None,
    ) -> None:
        self._begun = time.monotonic() if begun is None else begun
        self._timeout = timeout
        self.progress = progress
        self.agree: Agree = _alone
        self.seconds: dict[str, float] = {}

    @property
    def spent(self) -> float:
        """Seconds since the first rank's clock began."""
        return self.agree(self._own)

    @property
    def left(self) -> float:
        """Seconds until the first rank's deadline; infinite without one."""
        return self.agree(float("inf") if self._timeout is None else self._timeout - self._own)

    def check(self) -> None:
        """Raises OutOfTime, on all ranks alike, once the first one's deadline has passed."""
        # Asked even without a deadline, since all ranks agree to an interruption here as well.
        if self.left <= 0:
            raise OutOfTime

    @property
    def _own(self) -> float:
        return time.monotonic() - self._begun

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        """Time a stage and tell of it; a stage entered twice is added up."""
        self.progress.stage(name, detail)
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
