"""Seconds per stage, and the moment when time is up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from boundmesh.report.progress import SILENT, Progress


class OutOfTime(Exception):
    """The deadline has passed; whoever holds the best bounds so far catches it."""


Value = TypeVar("Value")


class Agree(Protocol):
    """What the first rank's value is, told to all."""

    def __call__(self, value: Value) -> Value: ...


def _alone(value: Value) -> Value:
    return value


class Clock:
    """Starts when made; `seconds` maps each stage to what it took.

    Where several ranks work in step, `agree` gives every rank the first one's value, and what
    depends on time is decided by the first rank's clock.
    """

    def __init__(self, timeout: float | None = None, progress: Progress = SILENT) -> None:
        self._begun = time.monotonic()
        self._timeout = timeout
        self.progress = progress
        self.agree: Agree = _alone
        self.seconds: dict[str, float] = {}

    @property
    def spent(self) -> float:
        return self.agree(time.monotonic() - self._begun)

    @property
    def left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        return float("inf") if self._timeout is None else self._timeout - self.spent

    def check(self) -> None:
        """Raises OutOfTime once the deadline has passed."""
        # Asked even without a deadline, since all ranks agree to an interruption here as well.
        spent = self.spent
        if self._timeout is not None and spent >= self._timeout:
            raise OutOfTime

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        """Time a stage and tell of it; a stage entered twice is added up."""
        self.progress.stage(name, detail)
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
