"""Lines of functions that are concave, then convex, then concave, such as x·sigmoid(x).

Let f be convex on [a, b] and concave on both tails. It falls towards its only minimum and rises
after it; left slopes are at most 0 and right slopes at least 1, as for `x·gate(x)`.

**Below.** The largest convex function below f on a box [l, u] leaves the curve only where l or u
lies on a tail: there it is the straight line to a touching point p (from l) or q (from u) in
[a, b]. Its tangents at points of [p, q] are the best lines. Where p ≥ q, the chord is the best one.

**Above.** The best line is the chord, unless f lies above it next to l or next to u. It does so
where the end lies on a tail and the chord starts to fall below the tangent there. Then the best
lines are tangents between that end and the touching point of the line from the other end.

As in `curve`, the intercept follows from the slope, so tables need not be accurate: a line is moved
until it holds at both ends and at the touching point, and elsewhere f is convex or concave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from boundmesh.operators.curve import Curve, margin, reach_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.s_curve import interpolate

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
        return Tables(*(each.to(device, dtype) for each in found))

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


def touch_between(alpha: Tensor, best: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return the point that α chooses: `first` at 0, `best` at 1/2, and `last` at 1."""
    step = 2 * alpha - 1
    return best + (best - first) * step.clamp(max=0) + (last - best) * step.clamp(min=0)


def gated_lines(curve: GatedCurve, box: Interval, alpha: Tensor) -> Lines:
    """Return lines on a box `[D, 1, *]`; α `[D, R, *]` places the touching points."""
    low, high = box.lower, box.upper
    width = high - low
    at_low, at_high = curve.value(low), curve.value(high)
    with torch.no_grad():
        slope_low, slope_high = curve.slope(low), curve.slope(high)
    chord = (at_high - at_low) / torch.where(width == 0, 1, width)
    chord = torch.where(width == 0, slope_low, chord)
    chord = chord.clamp(*curve.slopes)
    middle, reach = low + width / 2, reach_of(box)
    # A value x·gate(x) errs relative to x.
    size = 4 * reach

    def below() -> tuple[Tensor, Tensor]:
        p, q = lower_points(curve, box)
        straight = p >= q
        best = torch.maximum(torch.minimum(middle, q), p)
        point = touch_between(alpha, best, p, q)
        with torch.no_grad():
            settled = touching_slope(curve, chord).clamp(low, high)
        point = torch.where(straight, settled, point)
        # Rounding must not move the point off the convex part: the check below would be left out.
        first, last = low.clamp(min=curve.first), high.clamp(max=curve.last)
        inside = first <= last
        point = torch.where(inside, torch.maximum(torch.minimum(point, last), first), point)
        tangent = curve.slope(point)
        slope = torch.where(straight, chord, tangent)
        at = torch.minimum(at_low - slope * low, at_high - slope * high)
        # On the convex part f lies above its tangent at the point, which may differ from the line.
        inner = curve.value(point) - slope * point
        drop = torch.minimum(
            (tangent - slope) * (first - point), (tangent - slope) * (last - point)
        )
        at = torch.where(inside, torch.minimum(at, inner + drop.clamp(max=0)), at)
        return slope, at - margin(size, slope, reach)

    def above() -> tuple[Tensor, Tensor]:
        p, q, straight = upper_points(curve, box, chord, slope_low, slope_high)
        best = torch.maximum(torch.minimum(middle, q), p)
        point = touch_between(alpha, best, p, q)
        slope = torch.where(straight, chord, curve.slope(point))
        at = torch.maximum(at_low - slope * low, at_high - slope * high)
        at = torch.where(straight, at, torch.maximum(at, curve.value(point) - slope * point))
        # On a tail f lies below its tangent at the end.
        left = (slope_low - slope).clamp(min=0) * (high.clamp(max=curve.first) - low).clamp(min=0)
        right = (slope - slope_high).clamp(min=0) * (high - low.clamp(min=curve.last)).clamp(min=0)
        return slope, at + torch.where(straight, left + right, 0) + margin(size, slope, reach)

    (below_slope, below_at), (above_slope, above_at) = below(), above()
    return Lines((below_slope,), (above_slope,), below_at, above_at)


def touching_slope(curve: GatedCurve, slope: Tensor) -> Tensor:
    """Return the point of [a, b] where the curve has the given slope."""
    least, most = curve.slopes
    table = curve.tables(slope.dtype, slope.device).at_slope
    return interpolate(table, (slope - least) / (most - least) * (POINTS - 1))


def lower_points(curve: GatedCurve, box: Interval) -> tuple[Tensor, Tensor]:
    """Return p and q, between which tangents lie below the function."""
    low, high = box.lower, box.upper
    tables, share = curve.tables(low.dtype, low.device), (POINTS - 1) / END
    beyond = torch.log1p((curve.first - low).clamp(min=0)) * share
    p = torch.where(low < curve.first, interpolate(tables.from_left, beyond), low)
    beyond = torch.log1p((high - curve.last).clamp(min=0)) * share
    q = torch.where(high > curve.last, interpolate(tables.from_right, beyond), high)
    # A box on one tail has the chord below it.
    outside = (high <= curve.first) | (low >= curve.last)
    return torch.where(outside, high, p), torch.where(outside, low, q)


def upper_points(
    curve: GatedCurve, box: Interval, chord: Tensor, slope_low: Tensor, slope_high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return p and q, between which tangents lie above the function, and where the chord does."""
    low, high = box.lower, box.upper
    tables = curve.tables(low.dtype, low.device)
    share = (POINTS - 1) / (curve.last - curve.first)
    left, right = high <= curve.first, low >= curve.last
    from_low = ~left & (low < curve.first) & (slope_low > chord)
    from_high = ~right & (high > curve.last) & (slope_high < chord)
    on_left = interpolate(tables.on_left, (high - curve.first).clamp(min=0) * share)
    on_right = interpolate(tables.on_right, (low - curve.first).clamp(min=0) * share)
    p = torch.where(from_high, torch.maximum(torch.minimum(on_right, high), low), low)
    q = torch.where(from_low, torch.minimum(torch.maximum(on_left, low), high), high)
    q = torch.where(from_low, q.clamp(max=curve.first), q)
    p = torch.where(from_high, torch.minimum(p.clamp(min=curve.last), high), p)
    return p, q, ~(left | right | from_low | from_high)
