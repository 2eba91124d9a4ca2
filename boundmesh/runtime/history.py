"""Records what happened in a run and when: its stages, facts, warnings and memory.

A `Recorder` stands between the engine and another Progress. It passes everything on, and keeps a
bounded number of readings, so that a run of days takes no more memory than one of seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from boundmesh.runtime.progress import SILENT, Fact, Progress

MOST_READINGS = 2048
"""Where a history would get more readings, every second one is dropped."""
PERIOD = 0.05
"""Memory is measured once in so many seconds at most, and whenever a stage begins."""

Measure = Callable[[], "MemoryReading | None"]


@dataclass(frozen=True)
class MemoryReading:
    """The memory that is taken at a time, in bytes.

    now   the bytes at this time: of tensors on a GPU, of the whole process on a CPU
    peak  the most that it was so far
    """

    now: int
    peak: int


@dataclass(frozen=True)
class Reading:
    """What was known at a time.

    seconds  the time, in seconds since the run began
    stage    the stage that was running
    facts    the facts that the stage reported then, by name
    memory   the memory at that time; None where it was not measured
    """

    seconds: float
    stage: str
    facts: Mapping[str, Fact]
    memory: MemoryReading | None = None


@dataclass(frozen=True)
class StageSpan:
    """A stage that ran from `begun` to `ended`, in seconds since the run began."""

    stage: str
    detail: str
    begun: float
    ended: float


@dataclass(frozen=True)
class History:
    """What happened in a run.

    spans     the stages in their order; a stage that ran twice has two spans
    readings  the facts and the memory in their order; those of a long run are thinned out
    warnings  the warnings
    seconds   the seconds from the beginning to the end
    """

    spans: tuple[StageSpan, ...] = ()
    readings: tuple[Reading, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def series(self, fact: str) -> list[tuple[float, float]]:
        """Return the pairs (seconds, value) of a fact, without values that are no numbers."""
        return [
            (reading.seconds, float(value))
            for reading in self.readings
            if isinstance(value := reading.facts.get(fact), int | float)
        ]


@dataclass
class Recorder:
    """A Progress that passes on what it receives, and keeps it.

    progress  the Progress that everything is passed on to
    measure   measures memory; it may be set once the device of a run is chosen
    """

    progress: Progress = SILENT
    measure: Measure | None = None
    _begun: float = field(default_factory=time.monotonic)
    _spans: list[StageSpan] = field(default_factory=list)
    _running: tuple[str, str, float] | None = None
    _readings: list[Reading] = field(default_factory=list)
    _last: Reading | None = None
    _warnings: list[str] = field(default_factory=list)
    _count: int = 0
    _every: int = 1
    _measured: float = float("-inf")

    def stage(self, name: str, detail: str = "") -> None:
        now = self._end()
        self._running = name, detail, now
        if self.measure is not None:
            self._keep(Reading(now, name, {}, self._memory(now)))
        self.progress.stage(name, detail)

    def update(self, **facts: Fact) -> None:
        now = time.monotonic() - self._begun
        memory = None
        if self.measure is not None and now - self._measured >= PERIOD:
            memory = self._memory(now)
        self._last = Reading(now, self._running[0] if self._running else "", facts, memory)
        self._count += 1
        if self._count % self._every == 0:
            self._keep(self._last)
            self._last = None
        self.progress.update(**facts)

    def warn(self, text: str) -> None:
        self._warnings.append(text)
        self.progress.warn(text)

    def history(self) -> History:
        """Return what happened so far; the running stage ends now."""
        now = self._end()
        if self.measure is not None and self._spans:
            self._keep(Reading(now, self._spans[-1].stage, {}, self._memory(now)))
        return History(tuple(self._spans), tuple(self._readings), tuple(self._warnings), now)

    def _memory(self, now: float) -> MemoryReading | None:
        assert self.measure is not None
        self._measured = now
        return self.measure()

    def _end(self) -> float:
        """End the running stage, and keep its last facts. Returns the time."""
        now = time.monotonic() - self._begun
        if self._last is not None:
            self._keep(self._last)
            self._last = None
        if self._running is not None:
            name, detail, begun = self._running
            self._spans.append(StageSpan(name, detail, begun, now))
            self._running = None
        return now

    def _keep(self, reading: Reading) -> None:
        self._readings.append(reading)
        if len(self._readings) >= MOST_READINGS:
            # The last reading has the newest facts, so it stays.
            self._readings = [*self._readings[:-1:2], self._readings[-1]]
            self._every *= 2
