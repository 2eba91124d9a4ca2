"""The operator step, which is constant on both sides of one jump, such as a sign or a comparison.

It is `low` where x < c, `tie` where x = c, and `high` where x > c, with low ≤ tie ≤ high. For
l < c < u, two lines of slopes between 0 and that of the chord from the jump to an end hold:

    low + s·(x − c) ≤ step(x),  0 ≤ s ≤ (high − low)/(u − c)
    step(x) ≤ high + t·(x − c), 0 ≤ t ≤ (high − low)/(c − l)

α in [0, 1] chooses both: s is the share α of its largest value, and t the share 1 − α. Boxes are
widened as those of `floor` are, because a network that rounds may end on the other side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.clamp import bend
from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.curve import margin, reach_of, rows_dim
from boundmesh.operators.floor import ASIDE, beside
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    c = bend(node, x)
    # The sum with x · 0 keeps NaN.
    above = torch.where(x > c, node["high"], node["tie"])
    return torch.where(x < c, node["low"], above) + 0 * x


def smoothed(node: Node, x: Tensor, width: Tensor) -> Tensor:
    """Return `low + (high − low)·σ((x − c)/width)`."""
    rise = float(node["high"]) - float(node["low"])
    return float(node["low"]) + rise * torch.sigmoid((x - bend(node, x)) / width)


def widened(node: Node, box: Interval) -> Interval:
    """Return the box, which reaches further by what rounding may move a point."""
    aside = ASIDE * torch.maximum(reach_of(box), bend(node, box.lower).abs()).clamp(min=1)
    return Interval(box.lower - aside, box.upper + aside)


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    return monotone(forward)(node, weights, widened(node, box))


def crosses(node: Node, box: Interval) -> Tensor:
    """Return a mask of the widened boxes that contain the jump."""
    c = bend(node, box.lower)
    return (box.lower <= c) & (box.upper >= c)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    return crosses(node, widened(node, boxes[0]))


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 1, a slanted line below, where more of the box lies above the jump, and else 0."""
    (box,) = boxes
    c = bend(node, box.lower)
    return (box.upper - c > c - box.lower).to(box.lower.dtype)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    box = rows_dim(widened(node, boxes[0]))
    c, low, high = bend(node, box.lower), float(node["low"]), float(node["high"])
    jumps, rise = crosses(node, box), high - low
    # Slopes are a little less steep, so that they are no steeper than the chords in spite of
    # rounding.
    share = rise * (1 - 16 * torch.finfo(box.lower.dtype).eps)
    below = torch.where(jumps, alpha * share / torch.where(jumps, box.upper - c, 1), 0)
    above = torch.where(jumps, (1 - alpha) * share / torch.where(jumps, c - box.lower, 1), 0)
    value = torch.where(box.lower > c, high, torch.where(box.upper < c, low, torch.nan))
    reach = reach_of(box)
    size = torch.full_like(reach, max(abs(low), abs(high)))
    return Lines(
        (below,),
        (above,),
        torch.where(jumps, low - below * c - margin(size, below, reach), value),
        torch.where(jumps, high - above * c + margin(size, above, reach), value),
    )


def cut_point(node: Node, box: Interval) -> Tensor:
    """Return a point beside the jump, outside of what widens boxes."""
    return beside(bend(node, box.lower), box)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    The value is exact. A slope is at most the rise divided by the distance of the further end, or
    of the nearer one where α is unfavourable, which is no less than what widens the box.
    """
    (box,) = boxes
    wide, c = widened(node, box), bend(node, box.lower)
    rise, size = float(node["high"]) - float(node["low"]), abs(float(node["low"]))
    nearest = torch.minimum(wide.upper - c, c - wide.lower)
    jumps = crosses(node, wide)
    steepest = torch.where(jumps, rise / torch.where(jumps & (nearest > 0), nearest, 1), 0)
    reach = reach_of(wide)
    return (Rounded(steepest * (reach + c.abs()) + size + rise, 0, 16, node.size),)


register(
    Operator(
        "step",
        forward,
        interval,
        relax=relax,
        initial=initial,
        unstable=unstable,
        cut_point=cut_point,
        rounded=rounded,
        rising=True,
        jumps=True,
        smoothed=smoothed,
    )
)
