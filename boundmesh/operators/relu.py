"""The operators Relu, LeakyRelu and Abs, which have two linear pieces that meet at zero.

Each is `f(x) = x` above zero and `f(x) = s·x` below. Relu has s = 0, LeakyRelu has s = slope in
[0, 1], and Abs has s = −1. All are convex, so the chord over an interval lies above the function.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.errors import UnsupportedError
from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES, Operator, register
from boundmesh.operators.rounding import Rounded


def slope_below_zero(node: Node) -> float:
    """Return s, the slope below zero.

    Raises UnsupportedError for a LeakyRelu whose slope lies outside [0, 1].
    """
    if node.op == "abs":
        return -1.0
    slope = float(node.attributes.get("slope", 0.0))
    if not 0 <= slope <= 1:
        raise UnsupportedError(
            f"operator '{node.op}' (node '{node.name}') has slope {slope}; expected one in [0, 1]"
        )
    return slope


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    slope = slope_below_zero(node)
    return x.clamp(min=0) if slope == 0 else torch.where(x >= 0, x, slope * x)


def absolute(node: Node, weights: Weights, x: Tensor) -> Tensor:
    return x.abs()


def absolute_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the range of |x| for l ≤ x ≤ u, which is `[max(l, −u, 0), max(−l, u)]`."""
    low, high = -box.lower, box.upper
    return Interval(torch.maximum(-low, -high).clamp(min=0), torch.maximum(low, high))


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    return (box.lower < 0) & (box.upper > 0)


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α of the lower line that encloses the smaller area with the chord.

    That is α = 1, the piece above zero, where u > −l, and α = 0, the piece below zero, elsewhere.
    """
    (box,) = boxes
    return (box.upper > -box.lower).to(box.lower.dtype)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the chord as the line above, and a line of slope s + α(1 − s) through zero below.

    For l < 0 < u the chord has slope k = s + (1 − s)·u/(u − l) and intercept (s − k)·l
    (arXiv 2011.13824). If the sign of the pre-activation is known, both lines are the linear piece
    itself. If a bound is NaN, both lines are NaN.
    """
    (box,) = boxes
    s = slope_below_zero(node)
    low, high = box.lower.clamp(max=0).unsqueeze(1), box.upper.clamp(min=0).unsqueeze(1)
    width = high - low
    # u/(u − l) of the box cut at zero: 1 where l ≥ 0, 0 where u ≤ 0.
    share = high / torch.where(width == 0, 1, width)
    chord = share if s == 0 else torch.where(share == 1, share, s + (1 - s) * share)
    tilted = alpha if s == 0 else s + (1 - s) * alpha
    below = torch.where((low < 0) & (high > 0), tilted, chord)
    return Lines((below,), (chord,), None, (s - chord) * low)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    The slope of the chord passes 6 roundings. So does its intercept, whose size is at most
    min(|l|, u); these roundings are relative to the largest magnitude in the box. Then a row is
    multiplied by a slope, and the intercepts are added up over all neurons.
    """
    (box,) = boxes
    slope = slope_below_zero(node)
    crosses = (box.lower < 0) & (box.upper > 0)
    below = -box.lower
    reach = torch.where(crosses, 2 * torch.maximum(below, box.upper), 0)
    chord = torch.where(crosses, torch.minimum(below, box.upper), 0)
    chord = chord if slope == 0 else chord * (1 - slope)
    terms = [Rounded(reach, 0, 8), Rounded(chord, 0, 0, node.size)]
    if slope not in (0.0, 1.0, -1.0):
        # A network that runs in a narrow type also rounds the slope.
        terms.append(Rounded(abs(slope) * (-box.lower).clamp(min=0), 2, 2))
    return tuple(terms)


def split_point(node: Node) -> float:
    return 0.0


for name, function, interval in (
    ("relu", forward, monotone(forward)),
    ("leaky_relu", forward, monotone(forward)),
    ("abs", absolute, absolute_interval),
):
    register(
        Operator(
            name,
            function,
            interval,
            relax=relax,
            initial=initial,
            unstable=unstable,
            split_point=split_point,
            rounded=rounded,
            rising=name != "abs",
            slope_below=slope_below_zero,
        )
    )

RELU = RULES["relu"]
