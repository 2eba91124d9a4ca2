"""Scales of charts: from numbers to places between 0 and 1, and the ticks of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TICKS = 5
"""An axis has about so many ticks."""
WIDE = 100.0
"""Numbers whose sizes differ by more than this factor are drawn on a logarithmic scale."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its place between 0 and 1, and its label."""

    place: float
    label: str


@dataclass(frozen=True)
class Scale:
    """A scale: `place` maps a number between `low` and `high` to a place between 0 and 1.

    bend    a monotone function that the numbers go through before they are placed
    values  the numbers that have a tick
    """

    low: float
    high: float
    values: tuple[float, ...]
    bend: Callable[[float], float] = float

    def place(self, value: float) -> float:
        """Return the place of a number; one outside of the scale is moved to its nearer end."""
        first, last = self.bend(self.low), self.bend(self.high)
        share = (self.bend(min(max(value, self.low), self.high)) - first) / (last - first)
        return min(max(share, 0.0), 1.0)

    def ticks(self, label: Callable[[float], str]) -> tuple[Tick, ...]:
        """Return the ticks with their labels."""
        return tuple(Tick(self.place(value), label(value)) for value in self.values)


def linear(low: float, high: float) -> Scale:
    """Make a linear scale from `low` to `high`, with ticks at round numbers."""
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, low + (abs(low) or 1) / 2
    step = _round_step((high - low) / TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, tuple(step * place for place in range(first, last + 1)))


def logarithmic(low: float, high: float) -> Scale:
    """Make a logarithmic scale between the powers of ten around `low` > 0 and `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    powers_per_tick = max(1, (last - first) // TICKS)
    values = tuple(10.0**power for power in range(first, last + 1, powers_per_tick))
    return Scale(10.0**first, 10.0**last, values, math.log10)


def around_zero(numbers: Sequence[float]) -> Scale:
    """Make a scale for numbers of both signs that always contains 0.

    Where their sizes differ widely it is linear near 0 and logarithmic far from it: `asinh(y / s)`,
    where s is a small one among the sizes.
    """
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    sizes = sorted(abs(number) for number in numbers if number)
    if not sizes or sizes[-1] <= WIDE * sizes[len(sizes) // 4]:
        return linear(low - 0.05 * (high - low), high + 0.05 * (high - low))
    unit = max(sizes[len(sizes) // 4], sizes[-1] * 1e-6)
    least, most = math.ceil(math.log10(unit)), math.floor(math.log10(sizes[-1]))
    powers_per_tick = max(1, (most - least + 1) // 3)
    powers = [10.0**power for power in range(most, least - 1, -powers_per_tick)]
    values = [0.0, *(sign * power for sign in (-1, 1) for power in powers)]
    chosen = tuple(sorted(value for value in values if low <= value <= high))
    edge = 1.3 if sizes else 1
    return Scale(low * edge, high * edge, chosen, lambda y: math.asinh(y / unit))


def _round_step(about: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is at least `about`."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(step * power for step in STEPS if step * power >= about * (1 - 1e-9))
