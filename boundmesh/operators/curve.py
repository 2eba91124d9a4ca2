"""Lines of smooth functions that bend one way: a tangent on the one side, the chord on the other.

Every line is drawn with a slope of the function or of its chord, and its intercept is what makes
it a bound with that very slope: the extreme difference at the points where it can be extreme, and
a margin for rounding. So an inaccurate slope costs tightness alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.node import Node
from boundmesh.operators.operator import Interval, Lines
from boundmesh.operators.rounding import FUNCTION, Rounded

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Curve:
    """A function of one variable, and its derivative."""

    value: Function
    slope: Function


@torch.no_grad()
def margin(value: Tensor, slope: Tensor, reach: Tensor) -> Tensor:
    """What rounding can take from `value − slope·x` at some |x| ≤ reach."""
    return 2 * torch.finfo(value.dtype).eps * (value.abs() + slope.abs() * reach)


def reach_of(box: Interval) -> Tensor:
    """The largest absolute value in the box, which rounding is proportional to."""
    return torch.maximum(box.lower.abs(), box.upper.abs())


def rows_dim(box: Interval) -> Interval:
    """The box as `[D, 1, *shape]`."""
    return Interval(box.lower.unsqueeze(1), box.upper.unsqueeze(1))


def inside(box: Interval, domain: Tensor) -> Interval:
    """The box where `domain` holds, not a number elsewhere: there the function has no bounds."""
    nan = torch.nan
    return Interval(torch.where(domain, box.lower, nan), torch.where(domain, box.upper, nan))


def sensible(chord: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """The slope of a chord, kept between the slopes at its ends.

    It lies there unless the box is so narrow that the difference of values is rounding alone.
    """
    return torch.clamp(chord, torch.minimum(first, last), torch.maximum(first, last))


def bent_lines(curve: Curve, box: Interval, alpha: Tensor, convex: bool) -> Lines:
    """Convex: tangent ≤ f ≤ chord; concave: chord ≤ f ≤ tangent.

    The tangent touches at `l + α(u − l)`. box `[D, 1, *]`, α `[D, R, *]`.
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
    """The sources of rounding of a curve with `|f| ≤ value` and `|f'| ≤ slope` on its box.

    A line drawn with values and slopes that are off by `FUNCTION` roundings each is off by as many
    of `value + slope·reach`. Its intercept is no larger, and intercepts are added over all neurons.
    """
    height = value + slope * reach_of(box)
    return (
        Rounded(value, FUNCTION, 0),
        Rounded(height, 0, 4 * FUNCTION + 8, node.size),
    )


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """A curve has no line of its own on any box but a point."""
    (box,) = boxes
    return box.upper > box.lower


def middle(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """The tangents that leave the smallest areas."""
    (box,) = boxes
    return torch.full_like(box.lower, 0.5)
