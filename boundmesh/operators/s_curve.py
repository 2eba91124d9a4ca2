"""Lines of smooth functions that are convex up to zero and concave from there on.

Which line below is best, on a box [l, u], for an odd function f of that kind (the line above is
the line below on the mirrored box, turned around):

    u ≤ 0                          any tangent, as for a convex function
    l ≥ 0, or f'(l) ≥ chord slope  the chord
    else                           any tangent at a point of [l, d], where the tangent at d passes
                                   through (u, f(u))

As in `curve`, the intercept follows from the slope: the tangent's is cut to what f(u) allows, so
that d need not be accurate (cases as in CROWN, arXiv 1811.00866).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.curve import Curve, Function, margin, reach_of, sensible
from boundmesh.operators.operator import Interval, Lines


@dataclass(frozen=True)
class SCurve(Curve):
    """An odd function, convex below zero and concave above.

    touch(u) is d ≤ 0, the point whose tangent passes through `(u, f(u))`, for u ≥ 0.
    """

    touch: Function


def both_sides(box: Interval) -> Interval:
    """The box and its mirror image, side by side in front: `[2, *]`."""
    return Interval(
        torch.stack((box.lower, -box.upper)),
        torch.stack((box.upper, -box.lower)),
    )


def choices(curve: SCurve, box: Interval) -> tuple[Tensor, Tensor, Tensor]:
    """Where the chord is the best line below, its slope, and the distance from l to the last
    point whose tangent is a line below."""
    low, high = curve.value(box.lower), curve.value(box.upper)
    width = box.upper - box.lower
    chord = (high - low) / torch.where(width == 0, 1, width)
    with torch.no_grad():
        first, last = curve.slope(box.lower), curve.slope(box.upper)
        straight = (box.lower >= 0) | (first >= chord)
    touched = torch.where(box.upper > 0, curve.touch(box.upper.clamp(min=0)), box.upper)
    return straight, sensible(chord, first, last), (touched - box.lower).clamp(min=0)


def touching_at(alpha: Tensor, box: Interval, distance: Tensor) -> Tensor:
    """l at α = 0, the point that leaves the smallest area at α = 1/2, `l + distance` at α = 1.

    A tangent leaves the least where it touches in the middle of the box, or as near to the middle
    as it may. Where that is `l + distance` already there is no way on from α = 1/2, but there is
    a gradient, so that α is not stuck there.
    """
    best = torch.minimum(distance, (box.upper - box.lower) / 2)
    step = 2 * alpha - 1
    beyond = step.clamp(min=0)
    up_to_best = step - beyond.detach()
    return box.lower + best + best * up_to_best + (distance - best) * beyond


def s_lines(curve: SCurve, box: Interval, alpha: Tensor) -> Lines:
    """Lines on a box `[D, 1, *]`; α `[D, R, *]` places the touching points of both lines."""
    sides = both_sides(box)
    straight, chord, distance = choices(curve, sides)
    point = touching_at(alpha, sides, torch.where(straight, 0, distance))
    slope = torch.where(straight, chord, curve.slope(point))
    value, high = curve.value(point), curve.value(sides.upper)
    at = torch.minimum(value - slope * point, high - slope * sides.upper)
    at = at - margin(torch.maximum(value.abs(), high.abs()), slope, reach_of(sides))
    return Lines((slope[0],), (slope[1],), at[0], -at[1])


def raised(lines: Lines, offset: float) -> Lines:
    """Lines of `f + offset` from those of f, with room for the rounding of the sum."""
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    slack = 2 * torch.finfo(lines.lower_intercept.dtype).eps * abs(offset)
    lower, upper = (
        lines.lower_intercept + (offset - slack),
        lines.upper_intercept + (offset + slack),
    )
    return Lines(lines.lower_slopes, lines.upper_slopes, lower, upper)


def turned(box: Interval, sign: Tensor | float, shift: Tensor | float) -> Interval:
    """The box of `y = sign·(x − shift)`, sign ±1."""
    low, high = (box.lower - shift) * sign, (box.upper - shift) * sign
    return Interval(torch.minimum(low, high), torch.maximum(low, high))


def turned_back(lines: Lines, sign: Tensor | float, shift: Tensor | float) -> Lines:
    """Lines in x from lines in `y = sign·(x − shift)`."""
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
    """d ≤ 0 with `f(d) + f'(d)(u − d) = f(u)` for each u > 0 of `ends`, by bisection (float64).

    The tangent at d passes below (u, f(u)) for d on the left of the solution, above on the right;
    it is on the left at −u, since a concave f(u) > u·f'(u).
    """
    left, right = -ends, torch.zeros_like(ends)
    for _ in range(64):
        point = (left + right) / 2
        below = value(point) + slope(point) * (ends - point) < value(ends)
        left, right = torch.where(below, point, left), torch.where(below, right, point)
    return left


def interpolate(table: Tensor, position: Tensor) -> Tensor:
    """`table` at a fractional index, continued in a straight line beyond its end."""
    index = position.detach().floor().long().clamp(0, len(table) - 2)
    left = table[index]
    return left + (position - index) * (table[index + 1] - left)
