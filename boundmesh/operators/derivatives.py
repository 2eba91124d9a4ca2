"""The range of the slopes of nonlinear operators, for bounds of Jacobians.

For any points a and b of a box, `f(a) − f(b) = Σᵢ dᵢ·(aᵢ − bᵢ)` with each dᵢ in the range that is
given here for input i. At points where f has a derivative it lies in the range, too.

Boxes are float64. Ranges are moved outward by more than rounding and the errors of library
functions can take away (`docs/soundness.md`, assumption 2).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boundmesh.operators.convex import elu_of
from boundmesh.operators.curve import Function
from boundmesh.operators.gated import of_node
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.relu import slope_below_zero
from boundmesh.operators.rounding import UNITS
from boundmesh.operators.s_shaped import ASINH, ATAN, ERF, SOFTSIGN, defined

WIDER = 256 * UNITS["float64"]
"""What a range is moved outward by: no slope here passes more than 100 roundings."""

NEAR = 1e-4
"""Boxes that end this near to a point where slopes turn count as if they held it."""

Ranges = tuple[Interval, ...]


def widened(lower: Tensor, upper: Tensor) -> Interval:
    """Move ends outward, relative to their sizes and by the smallest normal number."""
    tiny = torch.finfo(lower.dtype).tiny
    return Interval(lower - (lower.abs() * WIDER + tiny), upper + (upper.abs() * WIDER + tiny))


def nearest(box: Interval) -> Tensor:
    """Return the distance of the box from zero."""
    return torch.maximum(box.lower, -box.upper).clamp(min=0)


def farthest(box: Interval) -> Tensor:
    """Return the largest absolute value in the box."""
    return torch.maximum(-box.lower, box.upper)


def pieces(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes of x above zero and s·x below: both where the box holds numbers of both."""
    (box,) = boxes
    below = torch.full_like(box.lower, slope_below_zero(node))
    above = torch.ones_like(below)
    at_low, at_high = (
        torch.where(known, above, below) for known in (box.lower >= 0, box.upper > 0)
    )
    return (_with_nan(box, at_low, at_high),)


def sigmoid(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes `s(x)·s(−x)`, which fall with |x|."""
    (box,) = boxes
    low, high = (_steepness(end) for end in (farthest(box), nearest(box)))
    return (Interval((low - WIDER).clamp(min=0), (high + WIDER).clamp(max=0.25)),)


def tanh(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes `4·s(2x)·s(−2x)`, which fall with |x|."""
    (box,) = boxes
    low, high = (4 * _steepness(2 * end) for end in (farthest(box), nearest(box)))
    return (Interval((low - WIDER).clamp(min=0), (high + WIDER).clamp(max=1)),)


def exp(node: Node, boxes: Ranges) -> Ranges:
    (box,) = boxes
    return (widened(box.lower.exp(), box.upper.exp()),)


def log(node: Node, boxes: Ranges) -> Ranges:
    (box,) = boxes
    inside = torch.where(box.lower > 0, box.lower, torch.nan)
    return (widened(1 / box.upper + 0 * inside, 1 / inside),)


def sqrt(node: Node, boxes: Ranges) -> Ranges:
    (box,) = boxes
    inside = torch.where(box.lower > 0, box.lower, torch.nan)
    return (widened(0.5 / box.upper.sqrt() + 0 * inside, 0.5 / inside.sqrt()),)


def reciprocal(node: Node, boxes: Ranges) -> Ranges:
    (box,) = boxes
    near = nearest(box)
    inside = torch.where(near > 0, near, torch.nan)
    return (widened(-1 / (inside * inside), -1 / farthest(box).square() + 0 * inside),)


def power(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes `p·x^(p−1)` for whole p ≥ 1, by products of intervals; NaN for others."""
    (box,) = boxes
    p = float(node["exponent"])
    if p < 1 or p != int(p) or p > 64:
        nan = torch.full_like(box.lower, torch.nan)
        return (Interval(nan, nan),)
    low, high = box.lower.pow(int(p) - 1), box.upper.pow(int(p) - 1)
    if p % 2 == 1 and p > 1:
        low, high = nearest(box).pow(int(p) - 1), farthest(box).pow(int(p) - 1)
    return (widened(p * low, p * high),)


def falling_from_zero(slope: Function) -> Callable[[Node, Ranges], Ranges]:
    """Make the rule of a function whose slope is even, at least 0, and falls with |x|."""

    def rule(node: Node, boxes: Ranges) -> Ranges:
        (box,) = boxes
        slopes = widened(slope(farthest(box)), slope(nearest(box)))
        return (Interval(slopes.lower.clamp(min=0), slopes.upper),)

    return rule


def tangent(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes `1 + tan(x)²` between the poles next to zero, which rise with |x|."""
    box = defined(boxes[0])
    return (widened(*(1 + torch.tan(end).square() for end in (nearest(box), farthest(box)))),)


def softplus(node: Node, boxes: Ranges) -> Ranges:
    (box,) = boxes
    low, high = torch.sigmoid(box.lower) - WIDER, torch.sigmoid(box.upper) + WIDER
    return (Interval(low.clamp(min=0), high.clamp(max=1)),)


def elu(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes, which rise with x because the function is convex."""
    (box,) = boxes
    slope = elu_of(node).slope
    return (widened(slope(box.lower), slope(box.upper)),)


def gated(node: Node, boxes: Ranges) -> Ranges:
    """Return slopes, which fall up to a, rise on [a, b] and fall from b on.

    a and b are known to 10⁻⁷. Slopes next to them differ by the square of that.
    """
    (box,), curve = boxes, of_node(node)
    ends = curve.slope(box.lower), curve.slope(box.upper)
    low, high = torch.minimum(*ends), torch.maximum(*ends)
    for place, better in ((curve.first, torch.minimum), (curve.last, torch.maximum)):
        inside = (box.lower < place + NEAR) & (box.upper > place - NEAR)
        extreme = curve.slope(torch.full_like(box.lower, place))
        low = torch.where(inside & (better is torch.minimum), better(low, extreme), low)
        high = torch.where(inside & (better is torch.maximum), better(high, extreme), high)
    return (Interval(low - 16 * WIDER, high + 16 * WIDER),)


def largest(node: Node, boxes: Ranges) -> Ranges:
    """Return the share of each input in differences of the maximum, between 0 and 1.

    `max(a) − max(b) = Σᵢ dᵢ·(aᵢ − bᵢ)` for shares d ≥ 0 that add up to 1. An input that is nowhere
    the largest has the share 0, and one that is so everywhere has the share 1.
    """
    (box,), dim = boxes, node["axis"] + 1
    beaten = box.upper < box.lower.amax(dim, keepdim=True)
    first = torch.arange(box.lower.shape[dim]).reshape(
        [-1 if d == dim else 1 for d in range(box.lower.dim())]
    )
    winner = first == box.lower.argmax(dim, keepdim=True)
    rest = torch.where(winner, -torch.inf, box.upper).amax(dim, keepdim=True)
    wins = winner & (box.lower > rest)
    return (_with_nan(box, wins.to(box.lower), (~beaten).to(box.lower)),)


def wave(node: Node, boxes: Ranges) -> Ranges:
    """Return the slopes of sine and cosine, which are at most 1 in size everywhere."""
    (box,) = boxes
    one = torch.ones_like(box.lower)
    return (_with_nan(box, -one, one),)


def clamp(node: Node, boxes: Ranges) -> Ranges:
    """Return the slopes of max(x, c) or min(x, c): 1 where it is x, and 0 where it is c."""
    (box,) = boxes
    c = torch.as_tensor(node["bend"], dtype=box.lower.dtype)
    follows, stays = box.lower >= c, box.upper <= c
    if node.op == "at_most":
        follows, stays = box.upper <= c, box.lower >= c
    low, high = follows.to(c.dtype), (~stays | follows).to(c.dtype)
    return (_with_nan(box, low, high),)


def multiply(node: Node, boxes: Ranges) -> Ranges:
    """Return the range of the other factor: `ab − a'b' = b·(a − a') + a'·(b − b')`."""
    x, y = boxes
    return y, x


def _steepness(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


def _with_nan(box: Interval, lower: Tensor, upper: Tensor) -> Interval:
    """Return slopes that are NaN where the box is."""
    known = box.lower <= box.upper
    return Interval(*(torch.where(known, end, torch.nan).to(box.lower) for end in (lower, upper)))


SLOPES: dict[str, Callable[[Node, Ranges], Ranges]] = {
    "relu": pieces, "leaky_relu": pieces, "abs": pieces, "sigmoid": sigmoid, "tanh": tanh,
    "exp": exp, "log": log, "sqrt": sqrt, "reciprocal": reciprocal, "power": power, "sin": wave,
    "cos": wave, "at_least": clamp, "at_most": clamp, "multiply": multiply, "softplus": softplus,
    "elu": elu, "gelu": gated, "gelu_tanh": gated, "silu": gated, "mish": gated,
    "hard_swish": gated, "erf": falling_from_zero(ERF.slope), "atan": falling_from_zero(ATAN.slope),
    "softsign": falling_from_zero(SOFTSIGN.slope), "asinh": falling_from_zero(ASINH.slope),
    "tan": tangent, "max": largest,
}  # fmt: skip
"""The range of the slope of each nonlinear operator to each element of each of its inputs."""

AVERAGING = frozenset(("max",))
"""The operators that reduce an axis and whose slopes along it are ≥ 0 and sum to 1."""
