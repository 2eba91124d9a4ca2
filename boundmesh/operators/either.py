"""The operator either: one value that a graph computes in two ways, `x = y` in exact arithmetic.

Each way has bounds of its own. The range is the intersection of both, and the lines mix them:

    α·x + (1 − α)·y ≤ value ≤ (1 − α)·x + α·y

At α = 1, with which CROWN begins, the line below is that of x and the line above is that of y. So
whatever makes this node puts the form with the tighter bounds below first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, same_partition
from boundmesh.operators.curve import reach_of, rows_dim
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded


def forward(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    return x


def interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    """Return the intersection. Both boxes contain the value; NaN of one of them stays NaN."""
    return x.intersect(y)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return both lines. They have no constants, which are NaN where a bound is NaN."""
    x, y = map(rows_dim, boxes)
    nothing = 0 * (x.lower + x.upper + y.lower + y.upper)
    nothing = torch.where(nothing.isnan() & ~_broken(x) & ~_broken(y), 0, nothing)
    rest = 1 - alpha
    return Lines((alpha, rest), (rest, alpha), nothing, nothing)


def _broken(box: Interval) -> Tensor:
    return box.lower.isnan() | box.upper.isnan()


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    return torch.ones_like(boxes[0].lower)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    x, y = boxes
    return (x.upper > x.lower) & (y.upper > y.lower)


def cut_gain(node: Node, boxes: tuple[Interval, ...], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return zero: the lines do not depend on the range of the value."""
    x, y = boxes
    return torch.zeros_like(x.lower), torch.zeros_like(y.lower)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding: the two shares of a line add up to 1 only up to rounding."""
    x, y = boxes
    return (Rounded(reach_of(x) + reach_of(y), 0, 4, node.size),)


register(
    Operator(
        "either",
        forward,
        interval,
        relax=relax,
        initial=initial,
        unstable=unstable,
        cut_gain=cut_gain,
        rounded=rounded,
        rising=True,
        partition=same_partition,
    )
)
