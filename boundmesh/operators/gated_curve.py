"""Functions that are concave, then convex, then concave, such as x·sigmoid(x), and their ranges.

Let f be convex on [a, b] and concave on both tails. It falls towards its only minimum and rises
after it; left slopes are at most 0 and right slopes at least 1, as for `x·gate(x)`.

The lines around it are in `gated_line.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from boundmesh.operators.curve import Curve
from boundmesh.operators.interval import Interval

POINTS, END, FAR = 2048, 12.0, 40.0


@dataclass(frozen=True)
class Tables:
    """Touching points of tangents, as tables.

    from_left    those in [a, b] of tangents through the curve at l ≤ a, spaced in log(1 + a − l)
    from_right   those in [a, b] of tangents through the curve at u ≥ b, spaced in log(1 + u − b)
    on_left      those on the left tail of tangents through the curve at u in [a, b]
    on_right     those on the right tail of tangents through the curve at l in [a, b]
    at_slope     the points of [a, b] where the slope is that between the least and the largest
    """

    from_left: Tensor
    from_right: Tensor
    on_left: Tensor
    on_right: Tensor
    at_slope: Tensor


@dataclass(frozen=True)
class GatedCurve(Curve):
    """A function that is concave up to a, convex on [a, b], and concave from b on.

    first, last  a and b, in float64
    lowest       the point where the function is least
    """

    first: float
    last: float
    lowest: float

    @cached_property
    def slopes(self) -> tuple[float, float]:
        """The slopes at a and b, the least and the largest that the function has."""
        ends = torch.tensor([self.first, self.last], dtype=torch.float64)
        low, high = self.slope(ends).tolist()
        return low, high

    @lru_cache(maxsize=16)  # noqa: B019 (the few curves live as long as the program)
    def tables(self, dtype: torch.dtype, device: torch.device) -> Tables:
        far = torch.linspace(0, END, POINTS, dtype=torch.float64).expm1()
        near = torch.linspace(self.first, self.last, POINTS, dtype=torch.float64)
        middle, beyond = (self.first, self.last), (self.last, FAR)
        slopes = torch.linspace(*self.slopes, POINTS, dtype=torch.float64)
        found = (
            self._touching(self.first - far, middle, rising=False),
            self._touching(self.last + far, middle, rising=True),
            self._touching(near, (-FAR, self.first), rising=False),
            self._touching(near, beyond, rising=True),
            solved(self.slope, slopes, middle, rising=True),
        )
        return Tables(*(table.to(device, dtype) for table in found))

    def _touching(self, ends: Tensor, within: tuple[float, float], rising: bool) -> Tensor:
        """Return the x whose tangent passes through the curve at `ends`."""

        def gap(x: Tensor) -> Tensor:
            return self.value(x) + self.slope(x) * (ends - x)

        return solved(gap, self.value(ends), within, rising)


def solved(
    function: Callable[[Tensor], Tensor], values: Tensor, within: tuple[float, float], rising: bool
) -> Tensor:
    """Return x with `function(x) = values`, by bisection; an end where there is no such x."""
    left, right = torch.full_like(values, within[0]), torch.full_like(values, within[1])
    for _ in range(60):
        point = (left + right) / 2
        below = (function(point) < values) == rising
        left, right = torch.where(below, point, left), torch.where(below, right, point)
    return left


def gated_curve(value: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> GatedCurve:
    """Make a curve; the ends of its convex part are where the slope is least and largest."""
    x = torch.linspace(-6, 6, 2**17 + 1, dtype=torch.float64)
    slopes = slope(x)
    ends: list[float] = []
    for place in (int(slopes.argmin()), int(slopes.argmax())):
        near = torch.linspace(float(x[place - 1]), float(x[place + 1]), 4001, dtype=torch.float64)
        fine = slope(near) * (1 if not ends else -1)
        ends.append(float(near[fine.argmin()]))
    zero = torch.zeros((), dtype=torch.float64)
    lowest = float(solved(slope, zero, (ends[0], ends[1]), rising=True))
    return GatedCurve(value, slope, ends[0], ends[1], lowest)


def range_of(curve: GatedCurve, box: Interval) -> Interval:
    """Return the range: the largest value is at an end, and the least there or at the minimum."""
    low, high = curve.value(box.lower), curve.value(box.upper)
    lowest = torch.full_like(box.lower, curve.lowest)
    least = torch.minimum(low, high)
    slack = 1e-4
    contains = (box.lower < curve.lowest + slack) & (box.upper > curve.lowest - slack)
    least = torch.where(contains, torch.minimum(least, curve.value(lowest)), least)
    return Interval(least, torch.maximum(low, high))
