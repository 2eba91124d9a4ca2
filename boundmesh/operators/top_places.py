"""The operator top_places, the places of the largest elements in falling order.

An element can have a rank only if no more elements surely are larger, and no more surely are
smaller, than the rank leaves. So the places at a rank lie between the first and the last element
that can have it, which are one where bounds decide the order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights
from boundmesh.operators.curve import reach_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.order import ASIDE, DecidedRanks, initial, unstable
from boundmesh.operators.rounding import Rounded


def top_places(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the places of the `count` largest elements along `axis`, of equal ones the first."""
    dim, count = int(node["axis"]) + 1, int(node["count"])
    found = x.sort(dim=dim, descending=True, stable=True).indices.narrow(dim, 0, count)
    return found.to(x.dtype) + 0 * x.sum(dim, keepdim=True)


def smoothed(node: Node, x: Tensor, width: Tensor) -> Tensor:
    """Return mean places, weighted by the softmax of `−|x − xᵣ|/width` for the r-th element xᵣ.

    This is SoftSort (arXiv 2006.16038).
    """
    dim, count = int(node["axis"]) + 1, int(node["count"])
    last, wide = x.movedim(dim, -1), width.movedim(dim, -1).unsqueeze(-2)
    ordered = last.sort(-1, descending=True).values[..., :count]
    away = (last.unsqueeze(-2) - ordered.unsqueeze(-1)).abs() / wide
    where = torch.arange(last.shape[-1], dtype=x.dtype, device=x.device)
    return (torch.softmax(-away, -1) @ where).movedim(-1, dim)


def place_range(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the first and the last place whose element can have each rank."""
    dim = int(node["axis"]) + 1
    aside = ASIDE * reach_of(box).amax(dim, keepdim=True).clamp(min=1)
    low, high, aside = (
        values.movedim(dim, -1).contiguous() for values in (box.lower, box.upper, aside)
    )
    length = low.shape[-1]
    # The ranks of an element if all that may be larger are smaller, and the other way round.
    least = length - torch.searchsorted(low.sort(-1).values, high + aside, right=True)
    most = length - 1 - torch.searchsorted(high.sort(-1).values, low - aside)
    where = torch.arange(length, device=low.device)
    first, last = [], []
    for rank in range(int(node["count"])):
        possible = (least <= rank) & (rank <= most)
        first.append(torch.where(possible, where, length).amin(-1))
        last.append(torch.where(possible, where, -1).amax(-1))
    broken = 0 * (box.lower.sum(dim, keepdim=True) + box.upper.sum(dim, keepdim=True))
    ends = (torch.stack(values, dim).to(broken) + broken for values in (first, last))
    return Interval(*ends)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> DecidedRanks:
    """Return the range of each rank, which no line narrows."""
    (box,) = boxes
    dim, found = int(node["axis"]) + 1, place_range(node, (), box)
    lower, upper = found.lower.unsqueeze(1), found.upper.unsqueeze(1)
    nowhere = torch.zeros_like(lower, dtype=torch.int64)
    return DecidedRanks(
        dim + 1, box.lower.shape[dim], nowhere, torch.zeros_like(lower), lower, upper
    )


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding: places are exact; ranges are multiplied and added."""
    return (Rounded(place_range(node, (), boxes[0]).upper, 0, 4, node.size),)


register(
    Operator(
        "top_places",
        top_places,
        place_range,
        relax=relax,
        initial=initial,
        unstable=unstable,
        rounded=rounded,
        mixes=True,
        jumps=True,
        smoothed=smoothed,
    )
)
