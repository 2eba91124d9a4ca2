"""The operators sigmoid, tanh, erf, atan, softsign and asinh, and tan, which is a mirror image."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, elementwise, monotone
from boundmesh.operators.curve import (
    Function,
    inside,
    middle,
    reach_of,
    rounded_curve,
    rows_dim,
    steady,
    zero,
)
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
    raised,
    s_lines,
    touching_points,
)

# The table of touching points is evenly spaced in log(1 + u), up to u = e¹² − 1 = 162 754.
POINTS, END = 4096, 12.0


def centered(x: Tensor) -> Tensor:
    """Return `sigmoid(x) − 1/2`, which is an odd function."""
    return torch.tanh(x / 2) / 2


def steepness(x: Tensor) -> Tensor:
    """Return the derivative of sigmoid, accurate for large |x| of both signs."""
    return torch.sigmoid(x) * torch.sigmoid(-x)


def touch_of(value: Function, slope: Function) -> Function:
    """Return a function that interpolates the touching points of a curve, from a table."""

    @lru_cache(maxsize=16)
    def table(dtype: torch.dtype, device: torch.device) -> Tensor:
        ends = torch.linspace(0, END, POINTS, dtype=torch.float64).expm1()
        return touching_points(value, slope, ends).to(device, dtype)

    def touch(u: Tensor) -> Tensor:
        return interpolate(table(u.dtype, u.device), torch.log1p(u) * ((POINTS - 1) / END))

    return touch


def s_curve(value: Function, slope: Function) -> SCurve:
    return SCurve(value, slope, touch_of(value, slope))


def softsign(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


SIGMOID = s_curve(centered, steepness)
# tanh(x) = 2·sigmoid(2x) − 1
TANH = SCurve(torch.tanh, lambda x: 4 * steepness(2 * x), lambda u: SIGMOID.touch(2 * u) / 2)
ERF = s_curve(torch.erf, lambda x: 2 / math.sqrt(math.pi) * torch.exp(-x * x))
ATAN = s_curve(torch.atan, lambda x: 1 / (1 + x * x))
SOFTSIGN = s_curve(softsign, lambda x: 1 / (1 + x.abs()).square())
ASINH = s_curve(torch.asinh, lambda x: 1 / torch.hypot(x, torch.ones_like(x)))


def rules(name: str, function: Function, curve: SCurve, offset: float = 0.0) -> Operator:
    """Make the operator `function`, which is `curve + offset`."""

    def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
        box = rows_dim(boxes[0])
        lines = s_lines(curve, box, alpha)
        lines = raised(lines, offset) if offset else lines
        return steady(lines, Interval(function(box.lower), function(box.upper)))

    def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
        """Return a mask of boxes on which the function changes by more than rounding.

        Boxes in a saturated tail are left out.
        """
        (box,) = boxes
        low, high = curve.value(box.lower), curve.value(box.upper)
        return high - low > 16 * torch.finfo(low.dtype).eps

    def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
        """Return the sources of rounding.

        The function is steepest at the point of the box nearest to zero. A library function errs
        relative to 1, or to its value where that is larger.
        """
        (box,) = boxes
        nearest = torch.maximum(box.lower, -box.upper).clamp(min=0)
        value = function(reach_of(box)).abs().clamp(min=1) + (box.upper - box.upper)
        return rounded_curve(node, value, 2 * curve.slope(nearest), box)

    forward = elementwise(function)
    return Operator(
        name,
        forward,
        monotone(forward),
        relax=relax,
        initial=middle,
        unstable=unstable,
        cut_point=zero,
        rounded=rounded,
        rising=True,
    )


for name, function, curve, offset in (
    ("sigmoid", torch.sigmoid, SIGMOID, 0.5),
    ("tanh", torch.tanh, TANH, 0.0),
    ("erf", torch.erf, ERF, 0.0),
    ("atan", torch.atan, ATAN, 0.0),
    ("softsign", softsign, SOFTSIGN, 0.0),
    ("asinh", torch.asinh, ASINH, 0.0),
):
    register(rules(name, function, curve, offset))


def falling(x: Tensor) -> Tensor:
    """Return `−tan(x)`, which is convex below zero and concave above."""
    return -torch.tan(x)


def steepness_of_tan(x: Tensor) -> Tensor:
    return -(1 + torch.tan(x).square())


LIMIT = math.pi / 2 - 1e-6
"""Boxes that reach further than this have no bounds, since tan grows beyond all of them."""


@lru_cache(maxsize=16)
def table_of_tan(dtype: torch.dtype, device: torch.device) -> Tensor:
    ends = torch.linspace(0, LIMIT, POINTS, dtype=torch.float64)
    return touching_points(falling, steepness_of_tan, ends).to(device, dtype)


def touch_of_tan(u: Tensor) -> Tensor:
    return interpolate(table_of_tan(u.dtype, u.device), u * ((POINTS - 1) / LIMIT))


TAN = SCurve(falling, steepness_of_tan, touch_of_tan)


def defined(box: Interval) -> Interval:
    """Return the box where it lies between the poles of tan next to zero, and NaN elsewhere."""
    return inside(box, (box.lower >= -LIMIT) & (box.upper <= LIMIT))


def tan_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    box = defined(box)
    return Interval(torch.tan(box.lower), torch.tan(box.upper))


def relax_tan(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    box = rows_dim(defined(boxes[0]))
    lines = lines_of_x(s_lines(TAN, box_of_y(box, -1, 0), alpha), -1, 0)
    return steady(lines, Interval(torch.tan(box.lower), torch.tan(box.upper)))


def unstable_tan(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    return box.upper > box.lower


def rounded_tan(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding; the function is steepest at the end furthest from zero."""
    reach = reach_of(defined(boxes[0]))
    steepest = 1 + torch.tan(reach).square()
    return rounded_curve(node, steepest, steepest, boxes[0])


register(
    Operator(
        "tan",
        elementwise(torch.tan),
        tan_interval,
        relax=relax_tan,
        initial=middle,
        unstable=unstable_tan,
        rounded=rounded_tan,
        rising=True,
    )
)
