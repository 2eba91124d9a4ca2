"""The operators sin and cos.

Within π of a zero where sin rises, sin is an `SCurve`. Within π of a zero where it falls, it is the
mirror image of one. A box that fits into such a range gets the lines of the `SCurve`. On a wider
box the lines are two constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, elementwise
from boundmesh.operators.curve import middle, rounded_curve, rows_dim, unstable
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded
from boundmesh.operators.s_curve import (
    SCurve,
    box_of_y,
    interpolate,
    lines_of_x,
    s_lines,
    touching_points,
)

POINTS = 2048


@lru_cache(maxsize=16)
def table(dtype: torch.dtype, device: torch.device) -> Tensor:
    ends = torch.linspace(0, math.pi, POINTS, dtype=torch.float64)
    return touching_points(torch.sin, torch.cos, ends).to(device, dtype)


def touch(u: Tensor) -> Tensor:
    """Return the point in [−π, 0] where the tangent of sin through (u, sin u), u ≤ π, touches."""
    return interpolate(table(u.dtype, u.device), u * ((POINTS - 1) / math.pi))


SINE = SCurve(torch.sin, torch.cos, touch)


def rounding(box: Interval) -> Tensor:
    """Return how far rounding, and the reduction to one period, can shift a point of the box."""
    reach = torch.maximum(box.lower.abs(), box.upper.abs()) + math.pi
    return 8 * torch.finfo(reach.dtype).eps * reach


def has_peak(box: Interval, peak: float, slack: Tensor) -> Tensor:
    """Return a mask of boxes that contain some `peak + 2πn`, or come within rounding of one."""
    period = 2 * math.pi
    first = ((box.lower - slack - peak) / period).ceil() * period + peak
    return first <= box.upper + slack


def range_of(box: Interval, function: Callable[[Tensor], Tensor], phase: float) -> Interval:
    """Return the range of `function(x) = sin(x + phase)`."""
    low, high, slack = function(box.lower), function(box.upper), rounding(box)
    top = has_peak(box, math.pi / 2 - phase, slack)
    bottom = has_peak(box, -math.pi / 2 - phase, slack)
    return Interval(
        torch.where(bottom, -1, torch.minimum(low, high)),
        torch.where(top, 1, torch.maximum(low, high)),
    )


def nearest_zero(box: Interval, phase: float) -> tuple[Tensor, Tensor]:
    """Return the sign of the slope at a zero of `sin(x + phase)`, and the zero.

    It is the zero that is nearest to the middle of the box.
    """
    count = (((box.lower + box.upper) / 2 + phase) / math.pi).detach().round()
    return 1 - 2 * count.remainder(2), count * math.pi - phase


def clipped(box: Interval) -> Interval:
    return Interval(box.lower.clamp(min=-math.pi), box.upper.clamp(max=math.pi))


def rules(name: str, function: Callable[[Tensor], Tensor], phase: float) -> Operator:
    """Make the operator `function(x) = sin(x + phase)`."""

    def interval(node: Node, weights: Weights, box: Interval) -> Interval:
        return range_of(box, function, phase)

    def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
        """Return the lines of `s_lines` around the nearest zero, or constants on a wider box."""
        box = rows_dim(boxes[0])
        sign, shift = nearest_zero(box, phase)
        near = box_of_y(box, sign, shift)
        fits = (near.lower >= -math.pi) & (near.upper <= math.pi)
        lines = lines_of_x(s_lines(SINE, clipped(near), alpha), sign, shift)
        assert lines.lower_intercept is not None and lines.upper_intercept is not None
        flat, slack = range_of(box, function, phase), rounding(box)
        return Lines(
            (torch.where(fits, lines.lower_slopes[0], 0),),
            (torch.where(fits, lines.upper_slopes[0], 0),),
            torch.where(fits, lines.lower_intercept, flat.lower) - slack,
            torch.where(fits, lines.upper_intercept, flat.upper) + slack,
        )

    def cut_point(node: Node, box: Interval) -> Tensor:
        """Return the zero of the function that is nearest to the middle of the box."""
        middle = (box.lower + box.upper) / 2
        return ((middle + phase) / math.pi).round() * math.pi - phase

    def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
        """Return the sources of rounding.

        Value and slope are at most 1. The reduction to one period adds π to the size.
        """
        (box,) = boxes
        one = torch.ones_like(box.lower) + (box.upper - box.upper)
        return rounded_curve(node, one + math.pi, one, box)

    return Operator(
        name,
        elementwise(function),
        interval,
        relax=relax,
        initial=middle,
        unstable=unstable,
        cut_point=cut_point,
        rounded=rounded,
    )


register(rules("sin", torch.sin, 0.0))
register(rules("cos", torch.cos, math.pi / 2))
