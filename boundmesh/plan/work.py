"""The work of a computation, and the time that it is estimated to take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """How fast a device works; an estimate of time is no better than these numbers.

    operations  floating-point operations per second in matrix products and convolutions
    bandwidth   bytes per second, read and written
    link        bytes per second that a device receives from the other ranks
    start       seconds that the host takes to start one operation
    source      where the numbers come from, in words
    """

    operations: float
    bandwidth: float
    link: float
    start: float
    source: str


@dataclass
class Work:
    """The work of one stage.

    operations  floating-point operations of matrix products and convolutions
    moved       bytes read and written
    starts      operations started
    seconds     the estimated time: for each operation the longest of its start, its arithmetic and
                its memory traffic
    received    bytes received from other ranks
    waited      the estimated time in which they arrive
    """

    operations: float = 0.0
    moved: float = 0.0
    starts: float = 0.0
    seconds: float = 0.0
    received: float = 0.0
    waited: float = 0.0

    def receive(self, rates: Rates, size: float, times: float) -> None:
        """Add bytes from other ranks that arrive `times` times."""
        self.received += times * size
        self.waited += times * size / rates.link

    def total(self, schedule: str) -> float:
        """Return the seconds. Only under `gather` do bytes arrive while products run."""
        if schedule == "gather":
            return max(self.seconds, self.waited)
        return self.seconds + self.waited

    def add(self, rates: Rates, operations: float, moved: float, times: float) -> None:
        """Add an operation that runs `times` times."""
        self.operations += times * operations
        self.moved += times * moved
        self.starts += times
        slowest = max(rates.start, operations / rates.operations, moved / rates.bandwidth)
        self.seconds += times * slowest
