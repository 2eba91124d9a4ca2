"""The operator max_pool, the maximum over windows of a map, which may overlap."""

from __future__ import annotations

from functools import reduce
from math import prod

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.curve import reach_of
from boundmesh.operators.gathered_pool import gathered
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.maxima import Maximum, undecided
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.pooled_lines import PooledLines, pulled_grid
from boundmesh.operators.rounding import Rounded
from boundmesh.operators.unfolding import counts, elements, folded, padded, unfolded

SHARE = 0.125
"""The weight, relative to α = 1, that the line below gives the input of the largest lower bound."""


def max_pool(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the maxima `[D, N, C, *counts]` over the windows of x `[D, N, C, *spatial]`.

    The windows lie as those of a convolution. Padding is never the largest.
    """
    wide = padded(node, x, -torch.inf)
    return reduce(torch.maximum, (wide[element] for element in elements(node, counts(node))))


def least(box: Interval) -> float:
    """Return a finite number that stands for padding, below all bounds that have lines."""
    return torch.finfo(box.lower.dtype).min / 4


def windows_of(node: Node, box: Interval) -> Interval:
    """Return the bounds `[D, N, C, K, *counts]` of the elements of all windows.

    An input with a lower bound at or below `least` gets NaN, because padding would not be below it.
    """
    low = torch.where(box.lower > least(box), box.lower, torch.nan)
    return Interval(*(unfolded(node, end, least(box)) for end in (low, box.upper)))


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> PooledLines:
    """Return a mean of the inputs of each window as the line below, and a chord as that above.

        (Σᵢ αᵢ·xᵢ + c·xⱼ) / (Σᵢ αᵢ + c) ≤ max(x)

    Here j is the input with the largest lower bound and c = `SHARE`. An input has one α for all of
    its windows. The line above is that of `Maximum`. A maximum that bounds decide is its input.
    """
    box, dim = windows_of(node, boxes[0]), 3
    maximum = Maximum.of(box, dim)
    best, decided = maximum.best.unsqueeze(1).to(alpha.dtype), maximum.decided.unsqueeze(1)
    weight = unfolded(node, alpha, 0.0) + SHARE * best
    below = torch.where(decided, best, weight / weight.sum(dim + 1, keepdim=True))
    return PooledLines(
        node,
        Lines(
            (below,),
            (maximum.slopes.unsqueeze(1),),
            maximum.broken.squeeze(dim).unsqueeze(1),
            maximum.intercept.squeeze(dim).unsqueeze(1),
        ),
    )


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 0: the line below is the input with the largest lower bound."""
    return torch.zeros_like(boxes[0].lower)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of inputs that may be the largest of a window where more than one may be."""
    open_windows = undecided(windows_of(node, boxes[0]), 3)
    with torch.no_grad():
        return folded(node, (part.float() for part in open_windows.unbind(3))) > 0


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    The value itself is exact. The weights of the mean add up to 1 only up to rounding, the chord
    has an intercept, and what overlapping windows pass to an input is added up.
    """
    size = 2 * max_pool(node, (), reach_of(boxes[0]))
    return (Rounded(size, 0, 16 + 3 * prod(node["kernel"]), node.size),)


def by_channel(node: Node, cut: Partition) -> Partition | None:
    return cut if cut.axis < 2 else None


MAX_POOL = register(
    Operator(
        "max_pool",
        max_pool,
        monotone(max_pool),
        relax=relax,
        initial=initial,
        unstable=unstable,
        rounded=rounded,
        rising=True,
        mixes=True,
        pulled_grid=pulled_grid,
        partition=by_channel,
        longer=gathered,
    )
)
