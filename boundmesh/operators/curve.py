"""Lines of smooth convex or concave functions: a tangent on one side, the chord on the other.

The slope of each line is computed first. The intercept is then chosen so that the line is a bound
with exactly that slope: it is the extreme difference at the points where it can be extreme, plus a
margin for rounding. So an inaccurate slope makes bounds looser, but never wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import FUNCTION, Rounded

Function = Callable[[Tensor], Tensor]
STEEPEST = 256.0
"""The tangent of a root touches no further left than at u / STEEPEST."""


@dataclass(frozen=True)
class Curve:
    """A function of one variable.

    value  the function
    slope  its derivative
    """

    value: Function
    slope: Function


@torch.no_grad()
def margin(value: Tensor, slope: Tensor, reach: Tensor) -> Tensor:
    """Return a bound on the rounding of `value − slope·x` for |x| ≤ reach."""
    return 2 * torch.finfo(value.dtype).eps * (value.abs() + slope.abs() * reach)


def reach_of(box: Interval) -> Tensor:
    """Return the largest absolute value in the box. Rounding is proportional to it."""
    return torch.maximum(box.lower.abs(), box.upper.abs())


def rows_dim(box: Interval) -> Interval:
    """Return the box as `[D, 1, *shape]`, with a dim for rows."""
    return Interval(box.lower.unsqueeze(1), box.upper.unsqueeze(1))


def inside(box: Interval, domain: Tensor) -> Interval:
    """Return the box where the mask `domain` is true, and NaN where the function is undefined."""
    nan = torch.nan
    return Interval(torch.where(domain, box.lower, nan), torch.where(domain, box.upper, nan))


def not_too_steep(box: Interval, alpha: Tensor) -> Tensor:
    """Return α ≥ `alpha` whose tangents touch at `u / STEEPEST` or further right, for a box l ≥ 0.

    A tangent of a root far to the left is steep. It gives no better bound, and its rounding is
    large.
    """
    width = box.upper - box.lower
    least = (box.upper / STEEPEST - box.lower) / torch.where(width == 0, 1, width)
    return torch.maximum(alpha, least.clamp(0, 1).unsqueeze(1))


def steady(lines: Lines, values: Interval) -> Lines:
    """Return the lines of a function of one input, without those that overflow.

    In place of a line that is infinite or NaN stands the end of the function's range `values`,
    `[D, 1, *shape]`, moved outward by the error of a library function. Where the range is NaN, the
    lines are NaN.
    """
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    (below,), (above,) = lines.lower_slopes, lines.upper_slopes
    below, low = _finite(below, lines.lower_intercept, values.lower, -1)
    above, high = _finite(above, lines.upper_intercept, values.upper, 1)
    return Lines((below,), (above,), low, high)


def _finite(slope: Tensor, intercept: Tensor, end: Tensor, outward: int) -> tuple[Tensor, Tensor]:
    number = torch.finfo(end.dtype)
    fine = slope.isfinite() & intercept.isfinite()
    flat = end + outward * (FUNCTION * number.eps * end.abs() + number.tiny)
    return torch.where(fine, slope, 0 * end), torch.where(fine, intercept, flat)


def sensible(chord: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return the slope of a chord, clamped to lie between the slopes of the function at its ends.

    Clamping changes it only if the box is so narrow that the difference of values is mere rounding.
    """
    return torch.clamp(chord, torch.minimum(first, last), torch.maximum(first, last))


def bent_lines(curve: Curve, box: Interval, alpha: Tensor, convex: bool) -> Lines:
    """Return the lines tangent ≤ f ≤ chord if f is convex, and chord ≤ f ≤ tangent if concave.

    The tangent touches f at `l + α(u − l)`. The box is `[D, 1, *]`, and α is `[D, R, *]`.
    """
    outward, highest = (1, torch.maximum) if convex else (-1, torch.minimum)
    low, high, reach = curve.value(box.lower), curve.value(box.upper), reach_of(box)
    width = box.upper - box.lower
    with torch.no_grad():
        first, last = curve.slope(box.lower), curve.slope(box.upper)
    chord = sensible((high - low) / torch.where(width == 0, 1, width), first, last)
    chord_at = highest(low - chord * box.lower, high - chord * box.upper)
    chord_at = chord_at + outward * margin(torch.maximum(low.abs(), high.abs()), chord, reach)
    point = box.lower + alpha * width
    value, tangent = curve.value(point), curve.slope(point)
    tangent_at = value - tangent * point - outward * margin(value, tangent, reach)
    if convex:
        return Lines((tangent,), (chord,), tangent_at, chord_at)
    return Lines((chord,), (tangent,), chord_at, tangent_at)


def rounded_curve(node: Node, value: Tensor, slope: Tensor, box: Interval) -> tuple[Rounded, ...]:
    """Return the sources of rounding of a curve with `|f| ≤ value` and `|f'| ≤ slope` on its box.

    Values and slopes pass `FUNCTION` roundings each, so a line passes as many, relative to
    `value + slope·reach`. Its intercept is no larger, and intercepts are added over all neurons.
    """
    height = value + slope * reach_of(box)
    return (
        Rounded(value, FUNCTION, 0),
        Rounded(height, 0, 4 * FUNCTION + 8, node.size),
    )


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of boxes that are no single point. On these no line equals the curve."""
    (box,) = boxes
    return box.upper > box.lower


def zero(node: Node, box: Interval) -> Tensor:
    """Return 0, where an odd function turns from convex to concave; a cut may gain most there."""
    return torch.zeros_like(box.lower)


def middle(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 1/2, whose tangents enclose the smallest areas."""
    (box,) = boxes
    return torch.full_like(box.lower, 0.5)
