"""The operators `at_least`, max(x, c), and `at_most`, min(x, c), for constants c.

Both have two linear pieces that meet at c. `at_least` is convex: the chord lies above it, and every
line `c + α(x − c)` with α in [0, 1] lies below it. `at_most` is its mirror image,
`min(x, c) = −max(−x, −c)`: the chord lies below it, and the lines of slope α lie above it. Results
are not rounded, because each is x or c.

c is the weight. The attribute `bend` holds the same numbers for the rules that take no weights. It
is one number, or a float64 array of the node's shape.

Rounding. Let u be the unit roundoff of the dtype, γ_k = k·u/(1 − k·u), l < c < u' the bounds, and c
a number of the dtype. A line whose slope and intercept are taken as computed crosses the function
by at most

    the chord        γ_3·|slope|·(u' − l) + γ_2·(|c| + |slope·l|)      (at_most: u' for l)
    the line of α    γ_2·|c|

and not at all where l ≥ c or u' ≤ c. The error of converting c to the dtype, which is at most
u·|c|, is added to each.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.curve import reach_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES, Operator, register
from boundmesh.operators.rounding import Rounded


def bend(node: Node, like: Tensor) -> Tensor:
    """Return c in the dtype and on the device of `like`."""
    return node.tensor("bend", like)


def at_least(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return `max(x, c)`. `weights` holds c, broadcastable to the shape of x."""
    return torch.maximum(x, weights[0])


def at_most(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return `min(x, c)`. `weights` holds c, broadcastable to the shape of x."""
    return torch.minimum(x, weights[0])


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    c = bend(node, box.lower)
    return (box.lower < c) & (box.upper > c)


def initial_at_least(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α of the line that encloses the smaller area: x where u − c > c − l, else c."""
    (box,) = boxes
    c = bend(node, box.lower)
    return (box.upper - c > c - box.lower).to(box.lower.dtype)


def initial_at_most(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α of the line that encloses the smaller area: x where c − l > u − c, else c."""
    (box,) = boxes
    c = bend(node, box.lower)
    return (c - box.lower > box.upper - c).to(box.lower.dtype)


def around(node: Node, boxes: tuple[Interval, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return min(l, c), max(u, c), their difference with 0 replaced by 1, and c."""
    (box,) = boxes
    c = bend(node, box.lower)
    low, high = torch.minimum(box.lower, c).unsqueeze(1), torch.maximum(box.upper, c).unsqueeze(1)
    width = high - low
    return low, high, torch.where(width == 0, 1, width), c


def relax_at_least(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the chord as the line above, and `c + α(x − c)` as the line below.

    The chord passes through (l, c) and has slope `k = (u − c)/(u − l)`, with l and u replaced by
    min(l, c) and max(u, c). So k is 1 where l ≥ c and 0 where u ≤ c, and there both lines are the
    chord. If a bound is NaN, both lines are NaN.
    """
    low, high, width, c = around(node, boxes)
    chord = (high - c) / width
    below = torch.where((low < c) & (high > c), alpha, chord)
    return Lines((below,), (chord,), (1 - below) * c, c - chord * low)


def relax_at_most(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the chord as the line below, and `c + α(x − c)` as the line above.

    The chord passes through (u, c) and has slope `k = (c − l)/(u − l)`.
    """
    low, high, width, c = around(node, boxes)
    chord = (c - low) / width
    above = torch.where((low < c) & (high > c), alpha, chord)
    return Lines((chord,), (above,), c - chord * high, (1 - above) * c)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    If c lies inside the box, the lines pass 8 roundings, relative to twice the largest magnitude in
    the box. If a line is the constant c, the error of c itself counts. If the result is x, nothing
    is rounded.

    The result is surely x if the box lies beyond c by more than |c|/2, because the error of c is
    smaller than that. If c was computed by sums that cancel, its roundings are relative to the
    attribute `size`.
    """
    (box,) = boxes
    c = bend(node, box.lower)
    magnitude = c.abs().clamp(min=node.attributes.get("size", 0.0))
    crosses = unstable(node, boxes)
    beyond = c - box.upper if RULES[node.op].concave else box.lower - c
    passes = ~crosses & (beyond > magnitude / 2)
    exactly = ~crosses & (beyond >= 0) & (magnitude == 0)
    reach = torch.where(crosses, 2 * reach_of(box), 0)
    limit = torch.where(passes | exactly, 0, torch.maximum(reach, magnitude))
    return Rounded(reach, 0, 8), Rounded(limit, 0, 0, node.size)


def split_point(node: Node) -> float | np.ndarray:
    bend: float | np.ndarray = node["bend"]
    return bend


for name, function, initial, relax, concave in (
    ("at_least", at_least, initial_at_least, relax_at_least, False),
    ("at_most", at_most, initial_at_most, relax_at_most, True),
):
    register(
        Operator(
            name,
            function,
            monotone(function),
            relax=relax,
            initial=initial,
            unstable=unstable,
            split_point=split_point,
            rounded=rounded,
            rising=True,
            concave=concave,
        )
    )
