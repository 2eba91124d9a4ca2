"""Lines of smooth odd functions that are convex below zero and concave above, such as tanh.

The best line below such a function f on a box [l, u] depends on the case. The line above is the
line below on the mirrored box [−u, −l], mirrored back.

    u ≤ 0                          any tangent, as for a convex function
    l ≥ 0, or f'(l) ≥ chord slope  the chord
    else                           any tangent at a point of [l, d], where the tangent at d passes
                                   through (u, f(u))

As in `curve`, the intercept follows from the slope. The intercept of a tangent is lowered until the
line is valid at u, so d need not be accurate. The cases are those of CROWN (arXiv 1811.00866).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.curve import Curve, Function, margin, reach_of, sensible
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines


@dataclass(frozen=True)
class SCurve(Curve):
    """An odd function, convex below zero and concave above.

    touch  maps u ≥ 0 to the point d ≤ 0 whose tangent passes through (u, f(u))
    """

    touch: Function


def both_sides(box: Interval) -> Interval:
    """Return the box and its mirror image, stacked along a new first dim: `[2, *]`."""
    return Interval(
        torch.stack((box.lower, -box.upper)),
        torch.stack((box.upper, -box.lower)),
    )


def choices(curve: SCurve, box: Interval) -> tuple[Tensor, Tensor, Tensor]:
    """Return what determines the line below on each box.

    The results are a mask of boxes where the chord is best, the slope of the chord, and the
    distance from l to the last point whose tangent lies below the function.
    """
    low, high = curve.value(box.lower), curve.value(box.upper)
    width = box.upper - box.lower
    chord = (high - low) / torch.where(width == 0, 1, width)
    with torch.no_grad():
        first, last = curve.slope(box.lower), curve.slope(box.upper)
        straight = (box.lower >= 0) | (first >= chord)
    touched = torch.where(box.upper > 0, curve.touch(box.upper.clamp(min=0)), box.upper)
    return straight, sensible(chord, first, last), (touched - box.lower).clamp(min=0)


def touching_at(alpha: Tensor, box: Interval, distance: Tensor) -> Tensor:
    """Return the point where the tangent touches.

    It is l at α = 0, the point whose tangent encloses the smallest area at α = 1/2, and
    `l + distance` at α = 1. The area is smallest if the tangent touches in the middle of the box,
    or as near to it as possible. If that point already is `l + distance`, the point stays there for
    α > 1/2. The gradient to α is not zero at α = 1/2, so that α can still move down.
    """
    best = torch.minimum(distance, (box.upper - box.lower) / 2)
    step = 2 * alpha - 1
    beyond = step.clamp(min=0)
    up_to_best = step - beyond.detach()
    return box.lower + best + best * up_to_best + (distance - best) * beyond


def s_lines(curve: SCurve, box: Interval, alpha: Tensor) -> Lines:
    """Return lines on a box `[D, 1, *]`. α `[D, R, *]` sets the touching points of both lines."""
    sides = both_sides(box)
    straight, chord, distance = choices(curve, sides)
    point = touching_at(alpha, sides, torch.where(straight, 0, distance))
    slope = torch.where(straight, chord, curve.slope(point))
    value, high = curve.value(point), curve.value(sides.upper)
    intercept = torch.minimum(value - slope * point, high - slope * sides.upper)
    intercept = intercept - margin(torch.maximum(value.abs(), high.abs()), slope, reach_of(sides))
    return Lines((slope[0],), (slope[1],), intercept[0], -intercept[1])


def raised(lines: Lines, offset: float) -> Lines:
    """Return lines of `f + offset` from lines of f, with a margin for the rounding of the sum."""
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    slack = 2 * torch.finfo(lines.lower_intercept.dtype).eps * abs(offset)
    lower, upper = (
        lines.lower_intercept + (offset - slack),
        lines.upper_intercept + (offset + slack),
    )
    return Lines(lines.lower_slopes, lines.upper_slopes, lower, upper)


def box_of_y(box: Interval, sign: Tensor | float, shift: Tensor | float) -> Interval:
    """Return the box of `y = sign·(x − shift)`, where sign is ±1."""
    low, high = (box.lower - shift) * sign, (box.upper - shift) * sign
    return Interval(torch.minimum(low, high), torch.maximum(low, high))


def lines_of_x(lines: Lines, sign: Tensor | float, shift: Tensor | float) -> Lines:
    """Return lines in x of a function that has the given lines in `y = sign·(x − shift)`."""
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    (below,), (above,) = lines.lower_slopes, lines.upper_slopes
    below, above = below * sign, above * sign
    return Lines(
        (below,),
        (above,),
        lines.lower_intercept - below * shift,
        lines.upper_intercept - above * shift,
    )


def touching_points(value: Function, slope: Function, ends: Tensor) -> Tensor:
    """Return d ≤ 0 with `f(d) + f'(d)(u − d) = f(u)` for each u > 0 of `ends`, found by bisection.

    All numbers are float64. The tangent at d passes below (u, f(u)) if d lies left of the solution,
    and above if d lies right of it. −u lies left of it, since f(u) > u·f'(u) for a concave f.
    """
    left, right = -ends, torch.zeros_like(ends)
    for _ in range(64):
        point = (left + right) / 2
        below = value(point) + slope(point) * (ends - point) < value(ends)
        left, right = torch.where(below, point, left), torch.where(below, right, point)
    return left


def interpolate(table: Tensor, position: Tensor) -> Tensor:
    """Return `table` at a fractional index. Beyond its end the table continues as a line."""
    index = position.detach().floor().long().clamp(0, len(table) - 2)
    left = table[index]
    return left + (position - index) * (table[index + 1] - left)
