"""The operator multiply: the product x·y of two inputs, element by element.

It is relaxed by McCormick's planes (`bilinear.py`), within a limit where one is given.

The attribute `limit`, a number or one for each element, is given where the factors have something
in common, so that no |x·y| is larger. Where a plane lies beyond it in the middle of the box, the
limit takes its place.

The attribute `ceiling` is given beside a limit where the second factor stands for one that is never
negative, equals it below the ceiling, and may be any larger number where it reaches the ceiling, as
1/max(‖x‖, t) stands for 1/‖x‖. Where y may reach it, bounds of the product of x and that factor are
the limits and, for x of one sign, the line `ly·x`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boundmesh.operators.affine_forms import AffineForms
from boundmesh.operators.bilinear import ends, middle, product_range
from boundmesh.operators.common_rules import Weights, same_partition
from boundmesh.operators.curve import reach_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.joint_products import joint_gain
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

NEAR_CEILING = 1 - 2.0**-10
"""A bound of the second factor counts as the ceiling from this share of it on."""


def multiply(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Return `x·y` for x and y of equal shape."""
    return x * y


def multiply_interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    found, limit = product_range(x, y), limit_of(node, x.lower)
    if limit is None:
        return found
    lower, upper = found.lower.clamp(-limit, limit), found.upper.clamp(-limit, limit)
    open_above = reaches_ceiling(node, y)
    return Interval(
        torch.where(open_above & (x.lower < 0), -limit, lower),
        torch.where(open_above & (x.upper > 0), limit, upper),
    )


def reaches_ceiling(node: Node, y: Interval) -> Tensor:
    """Return a mask of the elements whose second factor may be above the ceiling."""
    ceiling = float(node.attributes.get("ceiling", math.inf))
    return y.upper >= NEAR_CEILING * ceiling


def limit_of(node: Node, like: Tensor) -> Tensor | None:
    """Return the largest |x·y| that is possible, or None where there is no limit."""
    return node.tensor("limit", like) if "limit" in node.attributes else None


def multiply_relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return McCormick's planes as α mixes them, within the limit where there is one."""
    lx, ux, ly, uy = corners = ends(boxes)
    # Slopes are mixtures such as `α·lx + (1 − α)·ux`. Both planes have the same slope in y.
    at_x = ux + alpha * (lx - ux)
    below, above = uy + alpha * (ly - uy), ly + alpha * (uy - ly)
    lower = -(alpha * (lx * ly) + (1 - alpha) * (ux * uy))
    upper = -(alpha * (lx * uy) + (1 - alpha) * (ux * ly))
    limit = limit_of(node, lx)
    if limit is None:
        return Lines((below, at_x), (above, at_x), lower, upper)
    open_above = reaches_ceiling(node, boxes[1]).unsqueeze(1)
    return within_limit(limit, open_above, corners, (below, above, at_x), (lower, upper))


def within_limit(
    limit: Tensor,
    open_above: Tensor,
    corners: tuple[Tensor, Tensor, Tensor, Tensor],
    slopes: tuple[Tensor, Tensor, Tensor],
    intercepts: tuple[Tensor, Tensor],
) -> Lines:
    """Return the planes, or the limit in their place where they lie beyond it.

    `open_above` is the mask of the elements where y may reach its ceiling. `corners` are lx, ux, ly
    and uy. `slopes` are those of the lower plane in x, of the upper one in x, and of both in y.
    `intercepts` are those of the lower and of the upper plane.
    """
    lx, ux, ly, uy = corners
    (below, above, at_x), (lower, upper) = slopes, intercepts
    center, gap = (lx + ux) * (ly + uy) / 4, (ux - lx) * (uy - ly) / 4
    low, high = center - gap < -limit, center + gap > limit
    # Beyond the ceiling, x ≥ 0 has the line ly·x below and the limit above, and x ≤ 0 the reverse.
    low, high = low | open_above, high | open_above
    least = torch.where(open_above, ly.clamp(min=0), 0)
    rising, falling = open_above & (lx >= 0), open_above & (ux <= 0)
    return Lines(
        (torch.where(low, least * rising, below), torch.where(low, 0, at_x)),
        (torch.where(high, least * falling, above), torch.where(high, 0, at_x)),
        torch.where(rising, 0, torch.where(low, -limit, lower)),
        torch.where(falling, 0, torch.where(high, limit, upper)),
    )


def multiply_joint_gain(
    node: Node,
    boxes: tuple[Interval, Interval],
    rows: Tensor,
    forms: tuple[AffineForms, AffineForms],
) -> Tensor:
    """Return by how much rows `[D, S, *shape]` gain from the relation of x to y, `[D, S]`.

    They gain nothing where the planes may have given way to a limit.
    """
    if "limit" in node.attributes:
        return rows.new_zeros(len(boxes[0].lower), rows.shape[1], dtype=torch.float64)
    return joint_gain(rows, boxes, forms)


def multiply_unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of the elements where neither input is constant."""
    x, y = boxes
    return (x.upper > x.lower) & (y.upper > y.lower)


def multiply_rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    A plane has two slopes and an intercept. Each contributes at most twice the largest |x·y|.
    """
    x, y = boxes
    size, limit = reach_of(x) * reach_of(y), limit_of(node, x.lower)
    planes = size
    if limit is not None:
        lines = limit + reach_of(x) * y.lower.abs()
        planes = torch.where(reaches_ceiling(node, y), lines, size)
    return Rounded(size, 1, 0), Rounded(6 * planes, 0, 16, node.size)


register(
    Operator(
        "multiply",
        multiply,
        multiply_interval,
        relax=multiply_relax,
        initial=middle,
        unstable=multiply_unstable,
        joint_gain=multiply_joint_gain,
        relative=True,
        rounded=multiply_rounded,
        partition=same_partition,
    )
)
