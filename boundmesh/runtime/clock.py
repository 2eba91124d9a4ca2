"""`Clock` measures the seconds of each stage and raises OutOfTime after the deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from boundmesh.runtime.progress import SILENT, Progress


class OutOfTime(Exception):
    """The deadline has passed. The code that holds the best bounds so far catches this."""


Value = TypeVar("Value")


class Agree(Protocol):
    """A function that returns the first rank's value on every rank."""

    def __call__(self, value: Value) -> Value: ...


def _alone(value: Value) -> Value:
    return value


class Clock:
    """A clock with an optional deadline.

    It starts when it is made, or at the time `begun` of time.monotonic. `seconds` maps the name of
    each stage to the seconds it took.

    When several ranks work in step, `agree` returns the first rank's value on every rank. Ranks
    start at different moments and have different timeouts left, so only the first rank's `spent`
    and `left` count. Every rank must therefore read them equally often.
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
        self._stages: list[tuple[str, str]] = []
        self._counted = self._begun

    @property
    def spent(self) -> float:
        """Seconds since the first rank's clock began."""
        return self.agree(self._own)

    @property
    def left(self) -> float:
        """Seconds until the first rank's deadline; infinite without one."""
        return self.agree(float("inf") if self._timeout is None else self._timeout - self._own)

    def check(self) -> None:
        """Raise OutOfTime on all ranks if the first rank's deadline has passed."""
        # Read `left` even without a deadline, since it also lets all ranks agree to stop on Ctrl-C.
        if self.left <= 0:
            raise OutOfTime

    @property
    def _own(self) -> float:
        return time.monotonic() - self._begun

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        """Measure and report a stage. The seconds of a stage that is entered twice add up.

        A stage within another one interrupts it: its seconds are not the other's.
        """
        self._count()
        self._stages.append((name, detail))
        self.progress.stage(name, detail)
        try:
            yield
        finally:
            self._count()
            self._stages.pop()
            if self._stages:
                self.progress.stage(*self._stages[-1])

    def _count(self) -> None:
        """Add the time since the last call to the running stage."""
        now = time.monotonic()
        if self._stages:
            name, _ = self._stages[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._counted
        self._counted = now
