"""Floor: constant between the integers, where it jumps.

With integers k ≤ … ≤ n inside the box, `k = ⌊l⌋ + 1` and `n = ⌊u⌋`, floor lies between lines of any
slope α in [0, 1], the lower one through (k, k − 1) and the upper one through (n, n):

    k − 1 + α(x − k) ≤ ⌊x⌋ ≤ n + α(x − n)

A network computes x with rounding, and on the other side of a jump floor is another number. So a
box reaches further by `ASIDE`, relative to its largest value or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.curve import margin, reach_of, rows_dim
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Interval, Lines, Operator, Weights, elementwise, register
from boundmesh.operators.rounding import Rounded

ASIDE = 1e-5


def floors(box: Interval) -> Interval:
    """⌊l⌋ and ⌊u⌋ of the wider box."""
    aside = ASIDE * reach_of(box).clamp(min=1)
    return Interval((box.lower - aside).floor(), (box.upper + aside).floor())


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """`[⌊l⌋, ⌊u⌋]`."""
    return floors(box)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Where the box has a jump."""
    (box,) = boxes
    found = floors(box)
    return found.lower < found.upper


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Parallel to x where there are several jumps, which leaves 1 between the lines; constant at a
    single one, where that leaves as much."""
    (box,) = boxes
    found = floors(box)
    return (found.upper - found.lower > 1).to(box.lower.dtype)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Lines of slope α through the first jump's foot and the last one's head."""
    box = rows_dim(boxes[0])
    found = floors(box)
    jumps = found.lower < found.upper
    slope = torch.where(jumps, alpha, 0)
    rounding = torch.where(jumps, margin(reach_of(box) + 1, slope, reach_of(box) + 1), 0)
    return Lines(
        (slope,),
        (slope,),
        found.lower - slope * (found.lower + 1) - rounding,
        found.upper - slope * found.upper + rounding,
    )


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """The value is exact; slopes are at most 1 and intercepts no larger than what the box holds."""
    size = reach_of(boxes[0]) + 2
    return (Rounded(4 * size, 0, 16, node.size),)


register(
    Operator(
        "floor",
        elementwise(torch.floor),
        interval,
        relax=relax,
        initial=initial,
        undecided=unstable,
        rounded=rounded,
        rising=True,
    )
)
