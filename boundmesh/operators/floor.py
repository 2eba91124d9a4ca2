"""The operators floor and round, which are constant between jumps at whole and half numbers.

Let k = ⌊l⌋ + 1 and n = ⌊u⌋ be the first and the last integer in the box. Floor lies between two
lines of any slope α in [0, 1]. The lower passes through (k, k − 1), and the upper through (n, n):

    k − 1 + α(x − k) ≤ ⌊x⌋ ≤ n + α(x − n)

Round is `⌊x + ½⌋` but for points at a jump, where it takes the even neighbour, and has its lines.

A network computes x with rounding, so x may fall on the other side of a jump, where floor differs.
Boxes are therefore widened by `ASIDE`, relative to their largest magnitude or to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, elementwise
from boundmesh.operators.curve import margin, reach_of, rows_dim
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

ASIDE = 1e-5


def floors(box: Interval) -> Interval:
    """Return ⌊l⌋ and ⌊u⌋ of the widened box."""
    aside = ASIDE * reach_of(box).clamp(min=1)
    return Interval((box.lower - aside).floor(), (box.upper + aside).floor())


def raised(node: Node, box: Interval) -> Interval:
    """Return the box whose floor is wanted: that of round is ½ higher."""
    return box if node.op == "floor" else Interval(box.lower + 0.5, box.upper + 0.5)


def smoothed(node: Node, x: Tensor, width: Tensor) -> Tensor:
    """Return x less ½ where `width` exceeds ½, and else the sum of a sigmoid for each near jump.

    For floor with the jump k that is nearest to x, the sum is `k − 2 + Σⱼ σ((x − k − j)/width)`
    over j = −1, 0, 1. The result of round is that of floor at x + ½.
    """
    high = x if node.op == "floor" else x + 0.5
    jump = high.detach().round()
    sides = (torch.sigmoid((high - jump - place) / width) for place in (-1.0, 0.0, 1.0))
    return torch.where(width > 0.5, high - 0.5, jump - 2 + sum(sides))


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `[⌊l⌋, ⌊u⌋]` of the widened box."""
    return floors(raised(node, box))


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of the boxes that contain a jump."""
    whole = floors(raised(node, boxes[0]))
    return whole.lower < whole.upper


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return the slope α of both lines: 1 if there are several jumps, and 0 if there is only one.

    With these slopes the line above is 1 higher than the line below.
    """
    whole = floors(raised(node, boxes[0]))
    return (whole.upper - whole.lower > 1).to(whole.lower.dtype)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return lines of slope α through the lower end of the first and the upper end of the last
    jump."""
    box = rows_dim(boxes[0])
    whole = floors(raised(node, box))
    half = 0.0 if node.op == "floor" else 0.5
    jumps = whole.lower < whole.upper
    slope = torch.where(jumps, alpha, 0)
    rounding = torch.where(jumps, margin(reach_of(box) + 1, slope, reach_of(box) + 1), 0)
    return Lines(
        (slope,),
        (slope,),
        whole.lower - slope * (whole.lower + (1 - half)) - rounding,
        whole.upper - slope * (whole.upper - half) + rounding,
    )


def beside(jump: Tensor, box: Interval) -> Tensor:
    """Return a point beside the jump that is nearest to it outside of what widens boxes.

    It lies below the jump where the box reaches that far, so that a cut there leaves a part without
    the jump, and above it elsewhere.
    """
    aside = 2 * ASIDE * torch.maximum(reach_of(box), jump.abs()).clamp(min=1)
    return torch.where(jump - aside > box.lower, jump - aside, jump + aside)


def cut_point(node: Node, box: Interval) -> Tensor:
    """Return a point beside the jump that is nearest to the middle of the box."""
    half = 0.0 if node.op == "floor" else 0.5
    return beside(((box.lower + box.upper) / 2 - half).round() + half, box)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    The value is exact. Slopes are at most 1, and intercepts are no larger than the box reaches.
    """
    size = reach_of(boxes[0]) + 2
    return (Rounded(4 * size, 0, 16, node.size),)


for name, function in (("floor", torch.floor), ("round", torch.round)):
    register(
        Operator(
            name,
            elementwise(function),
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
