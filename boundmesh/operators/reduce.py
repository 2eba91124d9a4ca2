"""The operators sum, over several axes, and max, over one axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.curve import reach_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.maxima import Maximum, place_of, undecided
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths, Rounded
from boundmesh.operators.window_moves import pull_sum_windows


def total(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the sum over `axes`, which are kept with length 1."""
    return x.sum([axis + 1 for axis in node["axes"]], keepdim=True)


def pull_total(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows back: each is repeated over the axes of the sum."""
    return Pulled((rows.expand(*rows.shape[:2], *node.input_shapes[0]),))


def largest(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the maximum over `axis`, which is removed."""
    return x.amax(node["axis"] + 1)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of inputs that may be the largest, where more than one may be."""
    return undecided(boxes[0], node["axis"] + 1)


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return an α that is 1 for the input with the largest lower bound, and 0 for the others."""
    (box,) = boxes
    return place_of(box.lower, node["axis"] + 1).to(box.lower.dtype)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return a mean of the inputs, weighted by α, as the line below, and a chord as the line above.

        Σᵢ αᵢ·xᵢ / Σᵢ αᵢ ≤ max(x) ≤ max(xₖ, m) ≤ the chord of max(xₖ, m) over [lₖ, uₖ]

    Here k is the input with the largest upper bound, and m is the largest upper bound of the other
    inputs. If the lower bound of one input is at least the upper bounds of all others, both lines
    are that input. If α is zero for all inputs, the line below is the input with the largest lower
    bound.
    """
    dim = node["axis"] + 1
    maximum = Maximum.of(boxes[0], dim)
    # The tiny term counts only where every α is zero.
    weight = alpha + (1e-12 * maximum.best).unsqueeze(1)
    mean = weight / weight.sum(dim + 1, keepdim=True)
    below = torch.where(
        maximum.decided.unsqueeze(1), maximum.best.unsqueeze(1).to(mean.dtype), mean
    )
    return Lines(
        (below,),
        (maximum.slopes.unsqueeze(1),),
        maximum.broken.squeeze(dim).unsqueeze(1),
        maximum.intercept.squeeze(dim).unsqueeze(1),
        node["axis"],
    )


def cut_gain(node: Node, boxes: tuple[Interval, ...], rows: Tensor) -> tuple[Tensor]:
    """Return what a cut of each input in its middle gains: nothing where rows use the line below.

    That line is a mean of the inputs, which no cut makes tighter. The line above is a chord.
    """
    (box,), dim = boxes, node["axis"] + 1
    size = (-rows).clamp(min=0).mean(1).unsqueeze(dim)
    return (size * Maximum.of(box, dim).slopes * (box.upper - box.lower) / 8,)


def total_lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: a sum forward. Rows are repeated, which rounds nothing."""
    return Lengths(math.prod(node.input_shapes[0]) // max(1, node.size))


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    The value itself is exact. The weights of the mean add up to 1 only up to rounding, and the
    chord has an intercept.
    """
    (box,) = boxes
    axis = node["axis"]
    size = 2 * reach_of(box).amax(axis + 1)
    return (Rounded(size, 0, 16 + 2 * node.input_shapes[0][axis], node.size),)


def sum_partition(node: Node, cut: Partition) -> Partition | None:
    return None if cut.axis in node["axes"] else cut


def max_partition(node: Node, cut: Partition) -> Partition | None:
    if cut.axis == node["axis"]:
        return None
    return Partition(cut.axis - (node["axis"] < cut.axis), cut.ends)


register(
    Operator(
        "sum",
        total,
        monotone(total),
        pull=pull_total,
        pull_windows=pull_sum_windows,
        lengths=total_lengths,
        rising=True,
        exact_on_box=True,
        partition=sum_partition,
    )
)
register(
    Operator(
        "max",
        largest,
        monotone(largest),
        relax=relax,
        initial=initial,
        unstable=unstable,
        cut_gain=cut_gain,
        rounded=rounded,
        rising=True,
        partition=max_partition,
    )
)
