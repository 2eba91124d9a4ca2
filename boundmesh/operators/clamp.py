"""`max(x, c)` and `min(x, c)` with constants c: two linear pieces that meet at c.

`at_least` is convex: the chord lies above it, and below it every line `c + α(x − c)`, α in [0, 1].
`at_most` is its mirror image, `min(x, c) = −max(−x, −c)`: the chord lies below it and the lines of
slope α above. No result is rounded: it is x or c.

c is the weight, and the attribute `bend` holds the same numbers for the rules that take no weights:
one number, or an array of float64 with the node's shape.

Rounding. With u the unit roundoff of the dtype, γ_k = k·u/(1 − k·u), l < c < u' the bounds, c the
number that the dtype holds, and exact slopes and intercepts as computed, a line passes the function
by at most

    the chord        γ_3·|slope|·(u' − l) + γ_2·(|c| + |slope·l|)      (at_most: u' for l)
    the line of α    γ_2·|c|

and by nothing where l ≥ c or u' ≤ c. What c itself loses in becoming a number of the dtype, at most
u·|c|, comes on top of each.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.curve import reach_of
from boundmesh.operators.node import Node
from boundmesh.operators.operator import (
    RULES,
    Interval,
    Lines,
    Operator,
    Weights,
    monotone,
    register,
)
from boundmesh.operators.rounding import Rounded


def bend(node: Node, like: Tensor) -> Tensor:
    """c in the dtype and on the device of `like`."""
    return torch.as_tensor(node["bend"], dtype=like.dtype, device=like.device)


def at_least(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: c, broadcastable to the shape of x; `max(x, c)`."""
    return torch.maximum(x, weights[0])


def at_most(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: c, broadcastable to the shape of x; `min(x, c)`."""
    return torch.minimum(x, weights[0])


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    c = bend(node, box.lower)
    return (box.lower < c) & (box.upper > c)


def initial_at_least(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """The line that leaves the smaller area: x where u − c > c − l, else c."""
    (box,) = boxes
    c = bend(node, box.lower)
    return (box.upper - c > c - box.lower).to(box.lower.dtype)


def initial_at_most(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """The line that leaves the smaller area: x where c − l > u − c, else c."""
    (box,) = boxes
    c = bend(node, box.lower)
    return (c - box.lower > box.upper - c).to(box.lower.dtype)


def around(node: Node, boxes: tuple[Interval, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """l cut from above at c, u cut from below at c, `u − l` of these (1 for 0), and c."""
    (box,) = boxes
    c = bend(node, box.lower)
    low, high = torch.minimum(box.lower, c).unsqueeze(1), torch.maximum(box.upper, c).unsqueeze(1)
    width = high - low
    return low, high, torch.where(width == 0, 1, width), c


def relax_at_least(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Above, the chord through (l, c) of slope `k = (u − c)/(u − l)`; below, `c + α(x − c)`.

    With the box cut at c, k is 1 where l ≥ c, 0 where u ≤ c, and there both lines are the chord. A
    bound that is not a number makes both lines so.
    """
    low, high, width, c = around(node, boxes)
    chord = (high - c) / width
    below = torch.where((low < c) & (high > c), alpha, chord)
    return Lines((below,), (chord,), (1 - below) * c, c - chord * low)


def relax_at_most(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Below, the chord through (u, c) of slope `k = (c − l)/(u − l)`; above, `c + α(x − c)`."""
    low, high, width, c = around(node, boxes)
    chord = (c - low) / width
    above = torch.where((low < c) & (high > c), alpha, chord)
    return Lines((chord,), (above,), c - chord * high, (1 - above) * c)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """A box that c lies in has lines that are off by 8 roundings of what it reaches, twice; where
    a line is c, c may be off itself, by its own roundings; where x passes, nothing is.

    x passes from half of |c| beyond c on: c is nowhere off by as much. Where c was computed by
    sums that cancel, the attribute `size` says what its roundings are relative to.
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
            undecided=unstable,
            split_point=split_point,
            rounded=rounded,
            rising=True,
            concave=concave,
        )
    )
