"""Ranges of rounded values at the edge of where an operator is defined, and where they overflow.

The rules of operators give NaN for a box that reaches outside of where a function is defined,
since nothing must be proved with such a box. Here boxes enclose finite numbers that ONNX Runtime
gave, so its operand was inside: the box is cut to where the function is defined, and a quotient by
a range around zero may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.operators import RULES, Interval
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.node import Node

NEAR = 0.99
"""Numbers above this share of the largest one may overflow."""


def not_negative(box: Interval) -> Interval:
    """Return the box without numbers below zero, or NaN where it has no others."""
    some = box.upper >= 0
    lower = torch.where(some, box.lower.clamp(min=0), torch.nan)
    return Interval(lower, torch.where(some, box.upper, torch.nan))


def sqrt_range(node: Node, weights: Weights, box: Interval) -> Interval:
    box = not_negative(box)
    return Interval(box.lower.sqrt(), box.upper.sqrt())


def log_range(node: Node, weights: Weights, box: Interval) -> Interval:
    box = not_negative(box)
    return Interval(box.lower.log(), box.upper.log())


def reciprocal_range(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the range of 1/x over the x ≠ 0 of a box; its ends may be infinite."""
    around = (box.lower < 0) & (box.upper > 0)
    low = torch.where(around | (box.upper == 0), -torch.inf, 1 / box.upper)
    high = torch.where(around | (box.lower == 0), torch.inf, 1 / box.lower)
    return Interval(low, high)


def power_range(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the range of x^p. If p is no whole number, x ≥ 0."""
    p = float(node["exponent"])
    if p != int(p):
        box = not_negative(box)
        low, high = box.lower.pow(p), box.upper.pow(p)
        return Interval(low, high) if p >= 0 else Interval(high, low)
    if p < 0:
        node, box = replace(node, attributes={"exponent": -p}), reciprocal_range(node, weights, box)
    return RULES[node.op].interval(node, weights, box)


RANGES: dict[str, Callable[..., Interval]] = {
    "sqrt": sqrt_range,
    "log": log_range,
    "reciprocal": reciprocal_range,
    "power": power_range,
}
"""The ranges of operators that are not defined everywhere, or not for every exponent."""


def range_of(node: Node, weights: Weights, boxes: Sequence[Interval]) -> Interval:
    """Return the range of an operator over boxes, whose ends may be infinite.

    What is undefined for infinite ends, as 0·∞ is, may be anything. NaN in a box stays NaN.
    """
    rule = RANGES.get(node.op, RULES[node.op].interval)
    result = rule(node, weights, *boxes)
    ends = [end for box in boxes for end in (box.lower, box.upper) if end.numel()]
    # The least and the largest number are both NaN if any number is.
    extremes = [extreme for end in ends for extreme in torch.aminmax(end)]
    if not any(map(torch.isinf, extremes)) or any(map(torch.isnan, extremes)):
        return result
    lower = torch.where(result.lower.isnan(), -torch.inf, result.lower)
    return Interval(lower, torch.where(result.upper.isnan(), torch.inf, result.upper))


def with_overflow(box: Interval, size: Tensor, largest: float) -> Interval:
    """Return the box with infinite ends where a number, or a term of its sum, may overflow."""
    most = NEAR * largest
    over = size > most
    lower = torch.where(over | (box.lower < -most), -torch.inf, box.lower)
    return Interval(lower, torch.where(over | (box.upper > most), torch.inf, box.upper))
