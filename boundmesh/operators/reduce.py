"""The operators sum, over several axes, and max, over one axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.curve import reach_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths, Rounded


def total(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the sum over `axes`, which are kept with length 1."""
    return x.sum([axis + 1 for axis in node["axes"]], keepdim=True)


def pull_total(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows back: each is repeated over the axes of the sum."""
    return Pulled((rows.expand(*rows.shape[:2], *node.input_shapes[0]),))


def largest(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the maximum over `axis`, which is removed."""
    return x.amax(node["axis"] + 1)


def place_of(values: Tensor, dim: int) -> Tensor:
    """Return a mask that is true at the first largest value along `dim`."""
    shape = [length if d == dim else 1 for d, length in enumerate(values.shape)]
    places = torch.arange(values.shape[dim], device=values.device).reshape(shape)
    return places == values.argmax(dim, keepdim=True)


def others(place: Tensor, values: Tensor, dim: int) -> Tensor:
    """Return the largest value along `dim` outside of the mask `place`, or −∞ if there is none."""
    return torch.where(place, -torch.inf, values).amax(dim, keepdim=True)


def settled(box: Interval, dim: int) -> tuple[Tensor, Tensor]:
    """Return masks of the input with the largest lower bound, and of maxima that it decides.

    A maximum is decided if no other input can exceed that lower bound.
    """
    best = place_of(box.lower, dim)
    return best, box.lower.amax(dim, keepdim=True) >= others(best, box.upper, dim)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of inputs that may be the largest, where more than one may be."""
    (box,) = boxes
    dim = node["axis"] + 1
    _, decided = settled(box, dim)
    return ~decided & (box.upper > box.lower.amax(dim, keepdim=True))


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
    (box,) = boxes
    dim = node["axis"] + 1
    best, decided = settled(box, dim)
    highest = torch.where(decided, best, place_of(box.upper, dim))
    lower = torch.where(highest, box.lower, 0).sum(dim, keepdim=True)
    upper = torch.where(highest, box.upper, 0).sum(dim, keepdim=True)
    start, width = torch.maximum(lower, others(highest, box.upper, dim)), upper - lower
    chord = torch.where(decided, 1, (upper - start) / torch.where(width == 0, 1, width))
    # This is zero, or NaN where a bound of the inputs is NaN or infinite.
    broken = ((box.lower - box.lower) + (box.upper - box.upper)).sum(dim, keepdim=True)
    above = torch.where(highest, chord, 0).unsqueeze(1)
    # The tiny term counts only where every α is zero.
    weight = alpha + (1e-12 * best).unsqueeze(1)
    mean = weight / weight.sum(dim + 1, keepdim=True)
    below = torch.where(decided.unsqueeze(1), best.unsqueeze(1).to(mean.dtype), mean)
    intercept = start - chord * lower + broken
    return Lines(
        (below,),
        (above,),
        broken.squeeze(dim).unsqueeze(1),
        intercept.squeeze(dim).unsqueeze(1),
        node["axis"],
    )


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
        rounded=rounded,
        rising=True,
        partition=max_partition,
    )
)
