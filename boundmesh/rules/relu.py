"""Relu and LeakyRelu: two linear pieces that meet at zero."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.graph.graph import Node
from boundmesh.rules.operator import Interval, Lines, Operator, Weights, monotone, register


def slope_below_zero(node: Node) -> float:
    return float(node.attributes.get("slope", 0.0))


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    slope = slope_below_zero(node)
    return x.clamp(min=0) if slope == 0 else torch.where(x >= 0, x, slope * x)


def undecided(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    return (box.lower < 0) & (box.upper > 0)


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """The slope that leaves the smaller area: 1 where u > −l, else the slope below zero."""
    (box,) = boxes
    return (box.upper > -box.lower).to(box.lower.dtype)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """The chord above; below, a line through zero of slope s + α(1 − s) (arXiv 2011.13824).

    With s the slope below zero, l < 0 < u: chord slope k = (u − s·l)/(u − l), intercept (s − k)·l.
    Where the sign is known both lines are the piece itself.
    """
    (box,) = boxes
    s = slope_below_zero(node)
    low, high = box.lower.clamp(max=0).unsqueeze(1), box.upper.clamp(min=0).unsqueeze(1)
    # A box that touches zero from one side has a chord that is one of the pieces.
    width = torch.where(high - low > 0, high - low, 1)
    chord = torch.where(high - low > 0, (high - s * low) / width, 1)
    below = torch.where(low == 0, 1.0, torch.where(high == 0, s, s + (1 - s) * alpha))
    return Lines((below,), (chord,), None, (s - chord) * low)


def split_point(node: Node) -> float:
    return 0.0


for name in ("relu", "leaky_relu"):
    register(
        Operator(
            name,
            forward,
            monotone(forward),
            relax=relax,
            initial=initial,
            undecided=undecided,
            split_point=split_point,
        )
    )
