"""The work of a computation, and the time that it is estimated to take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """How fast a device works; an estimate of time is no better than these numbers.

    operations  floating-point operations per second in matrix products and convolutions
    bandwidth   bytes per second, read and written
    start       seconds that the host takes to start one operation
    source      where the numbers come from, in words
    """

    operations: float
    bandwidth: float
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
    """

    operations: float = 0.0
    moved: float = 0.0
    starts: float = 0.0
    seconds: float = 0.0

    def add(self, rates: Rates, operations: float, moved: float, times: float) -> None:
        """Add an operation that runs `times` times."""
        self.operations += times * operations
        self.moved += times * moved
        self.starts += times
        slowest = max(rates.start, operations / rates.operations, moved / rates.bandwidth)
        self.seconds += times * slowest
