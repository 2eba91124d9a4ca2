"""The operator power, x^p with a constant exponent p.

For even p ≥ 2, and for p = 1, it is convex. For odd p ≥ 3 it is concave below zero and convex
above, the mirror image of an `SCurve`. For any other p it has bounds only for x ≥ 0, and for x > 0
if p < 0. There it is convex for p < 0 and p > 1, and concave otherwise.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights
from boundmesh.operators.curve import (
    STEEPEST,
    Curve,
    bent_lines,
    inside,
    middle,
    not_too_steep,
    reach_of,
    rounded_curve,
    rows_dim,
    steady,
    unstable,
)
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded
from boundmesh.operators.s_curve import SCurve, box_of_y, lines_of_x, s_lines, touching_points


def is_odd(p: float) -> bool:
    return p >= 3 and p % 2 == 1


def is_convex_everywhere(p: float) -> bool:
    return p == 1 or (p >= 2 and p % 2 == 0)


def curve(p: float) -> Curve:
    return Curve(lambda x: x.pow(p), lambda x: p * x.pow(p - 1))


@lru_cache(maxsize=64)
def mirrored(p: float) -> SCurve:
    """Return `−x^p` for odd p. The tangent through its point at u touches at a multiple of u."""

    def value(x: Tensor) -> Tensor:
        return -x.pow(p)

    def slope(x: Tensor) -> Tensor:
        return -p * x.pow(p - 1)

    multiple = float(touching_points(value, slope, torch.ones(1, dtype=torch.float64)))
    return SCurve(value, slope, lambda u: multiple * u)


def defined(box: Interval, p: float) -> Interval:
    """Return the box where x^p is defined on all of it, and NaN elsewhere."""
    if is_convex_everywhere(p) or is_odd(p):
        return box
    return inside(box, box.lower >= 0 if p >= 0 else box.lower > 0)


def power(node: Node, weights: Weights, x: Tensor) -> Tensor:
    return x.pow(float(node["exponent"]))


def power_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the range of `x^p`. It has a minimum inside the box only at zero, and for even p."""
    p = float(node["exponent"])
    if is_convex_everywhere(p) and p != 1:
        least = torch.maximum(box.lower, -box.upper).clamp(min=0)
        most = torch.maximum(-box.lower, box.upper)
        return Interval(least.pow(p), most.pow(p))
    box = defined(box, p)
    low, high = box.lower.pow(p), box.upper.pow(p)
    return Interval(low, high) if p >= 0 else Interval(high, low)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the chord and a tangent at `l + α(u − l)`, or for odd p the lines of `s_lines`."""
    (box,) = boxes
    p = float(node["exponent"])
    values = rows_dim(power_interval(node, (), box))
    if is_odd(p):
        lines = s_lines(mirrored(p), box_of_y(rows_dim(box), -1, 0), alpha)
        return steady(lines_of_x(lines, -1, 0), values)
    if is_convex_everywhere(p):
        return steady(bent_lines(curve(p), rows_dim(box), alpha, convex=True), values)
    positive = defined(box, p)
    if 0 < p < 1:
        alpha = not_too_steep(positive, alpha)
    convex = not 0 <= p <= 1
    return steady(bent_lines(curve(p), rows_dim(positive), alpha, convex), values)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding, from the largest value and the steepest slope on the box.

    For p ≥ 1 both occur at the end that is further from zero. For p < 0 both occur at the lower
    end. For 0 < p < 1 the largest value occurs at the upper end, and no tangent is steeper than the
    one at `u / STEEPEST`.
    """
    (box,) = boxes
    p = float(node["exponent"])
    box = defined(box, p)
    far = reach_of(box)
    near = box.lower.abs()
    if 0 < p < 1:
        near = torch.maximum(near, far / STEEPEST)
    value = far.pow(p) if p >= 0 else near.pow(p)
    slope = abs(p) * (far if p >= 1 else near).pow(p - 1)
    return rounded_curve(node, value, slope, box)


def least(node: Node) -> float | None:
    """Return 0 for powers that are never negative, and None for odd ones."""
    p = float(node["exponent"])
    return None if is_odd(p) or p == 1 else 0.0


register(
    Operator(
        "power",
        power,
        power_interval,
        relax=relax,
        initial=middle,
        unstable=unstable,
        rounded=rounded,
        relative=True,
        least=least,
    )
)
