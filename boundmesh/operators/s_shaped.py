"""The operators sigmoid and tanh."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from boundmesh.operators.common_rules import elementwise, monotone
from boundmesh.operators.curve import Function, middle, rounded_curve, rows_dim
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded
from boundmesh.operators.s_curve import SCurve, interpolate, raised, s_lines, touching_points

# The table of touching points is evenly spaced in log(1 + u), up to u = e¹² − 1 = 162 754.
POINTS, END = 4096, 12.0


def centered(x: Tensor) -> Tensor:
    """Return `sigmoid(x) − 1/2`, which is an odd function."""
    return torch.tanh(x / 2) / 2


def steepness(x: Tensor) -> Tensor:
    """Return the derivative of sigmoid, accurate for large |x| of both signs."""
    return torch.sigmoid(x) * torch.sigmoid(-x)


@lru_cache(maxsize=16)
def table(dtype: torch.dtype, device: torch.device) -> Tensor:
    ends = torch.linspace(0, END, POINTS, dtype=torch.float64).expm1()
    return touching_points(centered, steepness, ends).to(device, dtype)


def touch(u: Tensor) -> Tensor:
    """Return the point where the tangent of sigmoid through its point at u ≥ 0 touches."""
    return interpolate(table(u.dtype, u.device), torch.log1p(u) * ((POINTS - 1) / END))


SIGMOID = SCurve(centered, steepness, touch)
# tanh(x) = 2·sigmoid(2x) − 1
TANH = SCurve(torch.tanh, lambda x: 4 * steepness(2 * x), lambda u: touch(2 * u) / 2)


def rules(name: str, function: Function, curve: SCurve, offset: float) -> Operator:
    """Make the operator `function`, which is `curve + offset`."""

    def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
        lines = s_lines(curve, rows_dim(boxes[0]), alpha)
        return raised(lines, offset) if offset else lines

    def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
        """Return a mask of boxes on which the function changes by more than rounding.

        Boxes in a saturated tail are left out.
        """
        (box,) = boxes
        low, high = curve.value(box.lower), curve.value(box.upper)
        return high - low > 16 * torch.finfo(low.dtype).eps

    def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
        """Return the sources of rounding.

        The function is steepest at the point of the box nearest to zero, and at most 1 in size.
        """
        (box,) = boxes
        nearest = torch.maximum(box.lower, -box.upper).clamp(min=0)
        one = torch.ones_like(box.lower) + (box.upper - box.upper)
        return rounded_curve(node, one, 2 * curve.slope(nearest), box)

    forward = elementwise(function)
    return Operator(
        name,
        forward,
        monotone(forward),
        relax=relax,
        initial=middle,
        unstable=unstable,
        rounded=rounded,
        rising=True,
    )


register(rules("sigmoid", torch.sigmoid, SIGMOID, 0.5))
register(rules("tanh", torch.tanh, TANH, 0.0))
