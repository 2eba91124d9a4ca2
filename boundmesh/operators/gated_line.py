"""Lines below and above a function that is concave, then convex, then concave.

Let f be convex on [a, b] and concave on both tails, as `gated_curve.py` describes.

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

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.curve import margin, reach_of
from boundmesh.operators.gated_curve import END, POINTS, GatedCurve
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.s_curve import interpolate


def touch_between(alpha: Tensor, best: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return the point that α chooses: `first` at 0, `best` at 1/2, and `last` at 1."""
    step = 2 * alpha - 1
    return best + (best - first) * step.clamp(max=0) + (last - best) * step.clamp(min=0)


@dataclass(frozen=True)
class Chord:
    """The straight line between the ends of a curve on a box, and the tangents there.

    box         `[D, 1, *]`; the other tensors have its shape
    middle      the middle of the box
    at_low      the value at the lower end
    at_high     the value at the upper end
    slope_low   the slope at the lower end
    slope_high  the slope at the upper end
    slope       the slope of the chord, cut to the slopes that the curve has
    """

    box: Interval
    middle: Tensor
    at_low: Tensor
    at_high: Tensor
    slope_low: Tensor
    slope_high: Tensor
    slope: Tensor

    def allowance(self, slope: Tensor) -> Tensor:
        """Return a bound on the rounding of a line: a value x·gate(x) errs relative to x."""
        reach = reach_of(self.box)
        return margin(4 * reach, slope, reach)


def chord_of(curve: GatedCurve, box: Interval) -> Chord:
    """Return the chord of a curve on a box `[D, 1, *]`; a point has its tangent as chord."""
    low, high = box.lower, box.upper
    width = high - low
    at_low, at_high = curve.value(low), curve.value(high)
    with torch.no_grad():
        slope_low, slope_high = curve.slope(low), curve.slope(high)
    slope = (at_high - at_low) / torch.where(width == 0, 1, width)
    slope = torch.where(width == 0, slope_low, slope).clamp(*curve.slopes)
    return Chord(box, low + width / 2, at_low, at_high, slope_low, slope_high, slope)


def gated_lines(curve: GatedCurve, box: Interval, alpha: Tensor) -> Lines:
    """Return lines on a box `[D, 1, *]`; α `[D, R, *]` places the touching points."""
    chord = chord_of(curve, box)
    below_slope, below_at = line_below(curve, chord, alpha)
    above_slope, above_at = line_above(curve, chord, alpha)
    return Lines((below_slope,), (above_slope,), below_at, above_at)


def line_below(curve: GatedCurve, chord: Chord, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slope and the intercept of a line below the curve."""
    low, high = chord.box.lower, chord.box.upper
    p, q = lower_points(curve, chord.box)
    straight = p >= q
    best = torch.maximum(torch.minimum(chord.middle, q), p)
    point = touch_between(alpha, best, p, q)
    with torch.no_grad():
        settled = touching_slope(curve, chord.slope).clamp(low, high)
    point = torch.where(straight, settled, point)
    # Rounding must not move the point off the convex part: the check below would be left out.
    first, last = low.clamp(min=curve.first), high.clamp(max=curve.last)
    inside = first <= last
    point = torch.where(inside, torch.maximum(torch.minimum(point, last), first), point)
    tangent = curve.slope(point)
    slope = torch.where(straight, chord.slope, tangent)
    intercept = torch.minimum(chord.at_low - slope * low, chord.at_high - slope * high)
    # On the convex part f lies above its tangent at the point, which may differ from the line.
    inner = curve.value(point) - slope * point
    drop = torch.minimum((tangent - slope) * (first - point), (tangent - slope) * (last - point))
    intercept = torch.where(inside, torch.minimum(intercept, inner + drop.clamp(max=0)), intercept)
    return slope, intercept - chord.allowance(slope)


def line_above(curve: GatedCurve, chord: Chord, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slope and the intercept of a line above the curve."""
    low, high = chord.box.lower, chord.box.upper
    p, q, straight = upper_points(curve, chord)
    best = torch.maximum(torch.minimum(chord.middle, q), p)
    point = touch_between(alpha, best, p, q)
    slope = torch.where(straight, chord.slope, curve.slope(point))
    intercept = torch.maximum(chord.at_low - slope * low, chord.at_high - slope * high)
    intercept = torch.where(
        straight, intercept, torch.maximum(intercept, curve.value(point) - slope * point)
    )
    # On a tail f lies below its tangent at the end.
    on_left = (high.clamp(max=curve.first) - low).clamp(min=0)
    on_right = (high - low.clamp(min=curve.last)).clamp(min=0)
    left = (chord.slope_low - slope).clamp(min=0) * on_left
    right = (slope - chord.slope_high).clamp(min=0) * on_right
    return slope, intercept + torch.where(straight, left + right, 0) + chord.allowance(slope)


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


def upper_points(curve: GatedCurve, chord: Chord) -> tuple[Tensor, Tensor, Tensor]:
    """Return p and q, between which tangents lie above the function, and where the chord does."""
    low, high = chord.box.lower, chord.box.upper
    tables = curve.tables(low.dtype, low.device)
    share = (POINTS - 1) / (curve.last - curve.first)
    left, right = high <= curve.first, low >= curve.last
    from_low = ~left & (low < curve.first) & (chord.slope_low > chord.slope)
    from_high = ~right & (high > curve.last) & (chord.slope_high < chord.slope)
    on_left = interpolate(tables.on_left, (high - curve.first).clamp(min=0) * share)
    on_right = interpolate(tables.on_right, (low - curve.first).clamp(min=0) * share)
    p = torch.where(from_high, torch.maximum(torch.minimum(on_right, high), low), low)
    q = torch.where(from_low, torch.minimum(torch.maximum(on_left, low), high), high)
    q = torch.where(from_low, q.clamp(max=curve.first), q)
    p = torch.where(from_high, torch.minimum(p.clamp(min=curve.last), high), p)
    return p, q, ~(left | right | from_low | from_high)
