"""The operators argmax, the place of the largest element, and top, the largest ones in order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.curve import reach_of
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

ASIDE = 1e-5
"""A network that rounds may order elements otherwise that are no further apart than this."""


def places(node: Node, values: Tensor) -> Tensor:
    """Return the places along `axis`, broadcastable to the values."""
    dim = int(node["axis"]) + 1
    shape = [length if d == dim else 1 for d, length in enumerate(values.shape)]
    return torch.arange(values.shape[dim], device=values.device).reshape(shape)


def argmax(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the place of the largest element along `axis`, which is removed.

    Of equal elements it is the first, or the last if the attribute `last` is true.
    """
    dim = int(node["axis"]) + 1
    largest = x == x.amax(dim, keepdim=True)
    where = places(node, x)
    if node["last"]:
        found = torch.where(largest, where, -1).amax(dim)
    else:
        found = torch.where(largest, where, x.shape[dim]).amin(dim)
    return found.to(x.dtype) + 0 * x.sum(dim)


def smoothed_argmax(node: Node, x: Tensor, width: Tensor) -> Tensor:
    """Return the mean place, weighted by the softmax of `x/width` along `axis`."""
    dim = int(node["axis"]) + 1
    return (places(node, x) * torch.softmax(x / width, dim)).sum(dim)


def place_range(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the first and the last place whose element may be the largest."""
    dim = int(node["axis"]) + 1
    aside = ASIDE * reach_of(box).amax(dim, keepdim=True).clamp(min=1)
    possible = box.upper + aside >= box.lower.amax(dim, keepdim=True)
    where = places(node, box.lower)
    first = torch.where(possible, where, box.lower.shape[dim]).amin(dim)
    last = torch.where(possible, where, -1).amax(dim)
    broken = 0 * (box.lower.sum(dim) + box.upper.sum(dim))
    return Interval(first.to(broken) + broken, last.to(broken) + broken)


def relax_argmax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return two constants."""
    places = place_range(node, (), boxes[0])
    flat = torch.zeros_like(boxes[0].lower).unsqueeze(1)
    axis = int(node["axis"])
    return Lines((flat,), (flat,), places.lower.unsqueeze(1), places.upper.unsqueeze(1), axis)


def rounded_argmax(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    places = place_range(node, (), boxes[0])
    return (Rounded(places.upper, 0, 2, node.size),)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of the elements that are not constant."""
    (box,) = boxes
    return box.upper > box.lower


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 0, which no line depends on."""
    return torch.zeros_like(boxes[0].lower)


def top(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the `count` largest elements along `axis`, the largest first."""
    dim = int(node["axis"]) + 1
    # Sorting puts NaN first; the sum with x · 0 carries it to all elements.
    found = x.sort(dim, descending=True).values.narrow(dim, 0, int(node["count"]))
    return found + 0 * x.sum(dim, keepdim=True)


@dataclass(frozen=True)
class DecidedRanks:
    """What bounds decide about the largest elements; all tensors `[D, 1, *shape]`.

    dim              the dim of the elements
    length           how many elements there are
    source           the place of the element of each rank, where it is decided
    decided          1 for decided ranks, and 0 for the others
    lower, upper     the range of each rank that is not decided, and 0 for decided ones
    """

    dim: int
    length: int
    source: Tensor
    decided: Tensor
    lower: Tensor
    upper: Tensor

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows back: to the element of a decided rank, and into the bias for the others."""
        passed = rows * self.decided
        shape = list(passed.shape)
        shape[self.dim] = self.length
        source = self.source.expand(passed.shape)
        coefficients = passed.new_zeros(shape).scatter_add(self.dim, source, passed)
        bias = inner(rows.clamp(min=0), self.lower) + inner(rows.clamp(max=0), self.upper)
        return Pulled((coefficients,), bias)


def relax_top(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> DecidedRanks:
    """Return an element itself where no other can have its rank, and else the rank's range.

    In the order of lower bounds, an element has its place for certain if all before it have lower
    bounds of at least its upper bound, and all after it upper bounds of at most its lower bound.
    """
    (box,) = boxes
    dim, count = int(node["axis"]) + 1, int(node["count"])
    low, source = box.lower.sort(dim, descending=True)
    high = box.upper.gather(dim, source)
    inf = torch.full_like(low.narrow(dim, 0, 1), torch.inf)
    before = torch.cat((inf, low.narrow(dim, 0, low.shape[dim] - 1)), dim)
    later = high.flip(dim).cummax(dim).values.flip(dim)
    after = torch.cat((later.narrow(dim, 1, low.shape[dim] - 1), -inf), dim)
    decided = ((before >= high) & (low >= after)).narrow(dim, 0, count)
    values = monotone(top)(node, (), box)
    return DecidedRanks(
        dim + 1,
        low.shape[dim],
        source.narrow(dim, 0, count).unsqueeze(1),
        decided.to(low.dtype).unsqueeze(1),
        torch.where(decided, 0 * values.lower, values.lower).unsqueeze(1),
        torch.where(decided, 0 * values.upper, values.upper).unsqueeze(1),
    )


def rounded_top(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding: values are exact; ranges are multiplied and added."""
    dim = int(node["axis"]) + 1
    size = reach_of(boxes[0]).amax(dim, keepdim=True).expand(
        len(boxes[0].lower), *node.shape
    )  # fmt: skip
    return (Rounded(size, 0, 4, node.size),)


register(
    Operator(
        "argmax",
        argmax,
        place_range,
        relax=relax_argmax,
        initial=initial,
        unstable=unstable,
        rounded=rounded_argmax,
        jumps=True,
        smoothed=smoothed_argmax,
    )
)
register(
    Operator(
        "top",
        top,
        monotone(top),
        relax=relax_top,
        initial=initial,
        unstable=unstable,
        rounded=rounded_top,
        rising=True,
        mixes=True,
    )
)
