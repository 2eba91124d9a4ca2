"""The operators multiply and matmul: products of two inputs, by elements and of matrices.

They are relaxed by McCormick's planes. For x in [lx, ux] and y in [ly, uy], two planes are valid
below and two above, and α mixes them. In the middle of the box, all mixtures are equally far from
x·y:

    x·y ≥ α(ly·x + lx·y − lx·ly) + (1 − α)(uy·x + ux·y − ux·uy)
    x·y ≤ α(uy·x + lx·y − lx·uy) + (1 − α)(ly·x + ux·y − ux·ly)

The attribute `limit` of multiply, a number or one for each element, is given where the factors have
something in common, so that no |x·y| is larger. Where a plane lies beyond it in the middle of the
box, the limit takes its place.

The attribute `ceiling` is given beside a limit where the second factor stands for one that is never
negative, equals it below the ceiling, and may be any larger number where it reaches the ceiling, as
1/max(‖x‖, t) stands for 1/‖x‖. Where y may reach it, bounds of the product of x and that factor are
the limits and, for x of one sign, the line `ly·x`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.affine_forms import AffineForms
from boundmesh.operators.common_rules import Weights, same_partition
from boundmesh.operators.curve import reach_of, rows_dim
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.joint_products import joint_gain
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

# The number of products that the interval of a matrix product computes at a time.
BLOCK = 2**22


def product_range(x: Interval, y: Interval) -> Interval:
    """Return the least and the greatest product of an end of x and an end of y."""
    ends = (x.lower * y.lower, x.lower * y.upper, x.upper * y.lower, x.upper * y.upper)
    least = torch.minimum(torch.minimum(ends[0], ends[1]), torch.minimum(ends[2], ends[3]))
    most = torch.maximum(torch.maximum(ends[0], ends[1]), torch.maximum(ends[2], ends[3]))
    return Interval(least, most)


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


NEAR_CEILING = 1 - 2.0**-10
"""A bound of the second factor counts as the ceiling from this share of it on."""


def reaches_ceiling(node: Node, y: Interval) -> Tensor:
    """Return a mask of the elements whose second factor may be above the ceiling."""
    ceiling = float(node.attributes.get("ceiling", math.inf))
    return y.upper >= NEAR_CEILING * ceiling


def limit_of(node: Node, like: Tensor) -> Tensor | None:
    """Return the largest |x·y| that is possible, or None where there is no limit."""
    return node.tensor("limit", like) if "limit" in node.attributes else None


def multiply_relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    lx, ux, ly, uy = ends(boxes)
    # Slopes are mixtures such as `α·lx + (1 − α)·ux`. Both planes have the same slope in y.
    at_x = ux + alpha * (lx - ux)
    below, above = uy + alpha * (ly - uy), ly + alpha * (uy - ly)
    lower = -(alpha * (lx * ly) + (1 - alpha) * (ux * uy))
    upper = -(alpha * (lx * uy) + (1 - alpha) * (ux * ly))
    limit = limit_of(node, lx)
    if limit is None:
        return Lines((below, at_x), (above, at_x), lower, upper)
    middle, gap = (lx + ux) * (ly + uy) / 4, (ux - lx) * (uy - ly) / 4
    low, high = middle - gap < -limit, middle + gap > limit
    # Beyond the ceiling, x ≥ 0 has the line ly·x below and the limit above, and x ≤ 0 the reverse.
    open_above = reaches_ceiling(node, boxes[1]).unsqueeze(1)
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


def middle(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 1/2. The planes below and above then have equal slopes.

    So the terms that two rows have in common cancel.
    """
    x, y = boxes
    shape = (max(len(x.lower), len(y.lower)), *x.lower.shape[1:])
    return x.lower.new_full(shape, 0.5)


def ends(boxes: tuple[Interval, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return lx, ux, ly and uy, each `[D, 1, *]` with a dim for rows."""
    x, y = map(rows_dim, boxes)
    return x.lower, x.upper, y.lower, y.upper


def matmul(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Return `x @ y`: x `[D, *, m, k]` and y `[D, *, k, n]` → `[D, *, m, n]`."""
    return torch.matmul(x, y)


def matmul_interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    """Return the sum over k of the ranges of `x[i, k]·y[k, j]`."""
    size = x.lower.numel() * y.lower.shape[-1] // x.lower.shape[-1]
    step = max(1, BLOCK // size)
    lower = x.lower.new_zeros(())
    upper = lower
    for start in range(0, x.lower.shape[-1], step):
        part = slice(start, start + step)
        left = Interval(*(end[..., part].unsqueeze(-1) for end in (x.lower, x.upper)))
        right = Interval(*(end[..., part, :].unsqueeze(-3) for end in (y.lower, y.upper)))
        products = product_range(left, right)
        lower, upper = lower + products.lower.sum(-2), upper + products.upper.sum(-2)
    return Interval(lower, upper)


@dataclass(frozen=True)
class ProductPlanes:
    """McCormick's planes of all `x[i, k]·y[k, j]` of a matrix product.

    lower_x  `[D, 1, *, m, k]`, lower bounds of x
    upper_x  `[D, 1, *, m, k]`, upper bounds of x
    lower_y  `[D, 1, *, k, n]`, lower bounds of y
    upper_y  `[D, 1, *, k, n]`, upper bounds of y
    alpha    `[D, R, *, m, k]`, one α per `x[i, k]`

    There are m·k·n pairs of planes. They are never stored: rows are pulled back through them by
    products of matrices, as in the attention layers of arXiv 2002.06622, which has no α.
    """

    lower_x: Tensor
    upper_x: Tensor
    lower_y: Tensor
    upper_y: Tensor
    alpha: Tensor

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows A `[D, S, *, m, n]` back to x and y.

        With c and r the centre and radius of y, `M = A cᵀ`, `E = |A| rᵀ`, `p = α·lx + (1−α)·ux`,
        the results are

        x: M + (1 − 2α)·E      y: pᵀ A      bias: ⟨α·lx − (1 − α)·ux, E⟩ − ⟨p, M⟩
        """
        center, radius = (self.upper_y + self.lower_y) / 2, (self.upper_y - self.lower_y) / 2
        through = torch.matmul(rows, center.mT)
        spread = torch.matmul(rows.abs(), radius.mT)
        low, high = self.alpha * self.lower_x, (1 - self.alpha) * self.upper_x
        to_x = through + (1 - 2 * self.alpha) * spread
        to_y = torch.matmul((low + high).mT, rows)
        return Pulled((to_x, to_y), inner(spread, low - high) - inner(through, low + high))


def matmul_relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> ProductPlanes:
    lower_x, upper_x, lower_y, upper_y = ends(boxes)
    return ProductPlanes(lower_x, upper_x, lower_y, upper_y, alpha)


def matmul_unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of the elements of x that vary and are multiplied with a y that varies."""
    x, y = boxes
    varied = (y.upper > y.lower).any(-1).unsqueeze(-2)
    return (x.upper > x.lower) & varied


def matmul_cut_gain(node: Node, boxes: tuple[Interval, ...], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a cut of each element of x and of y in its middle gains.

    With radii r, the planes of α = 1/2 are off by r_x·r_y in the middle of the box. A cut of x
    halves r_x, so each of its halves gains `|A|·r_x·r_y/2`.
    """
    x, y = ((box.upper - box.lower) / 2 for box in boxes)
    size = rows.abs().mean(1)
    return x * torch.matmul(size, y.mT), y * torch.matmul(x.mT, size)


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


def matmul_rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding: those of all products in a sum.

    `ProductPlanes.pull` adds these up along each axis.
    """
    x, y = boxes
    (*_, rows, deep), wide = x.lower.shape, y.lower.shape[-1]
    size = torch.matmul(reach_of(x), reach_of(y))
    pull, summed = 16 + deep + rows + wide, math.prod(node.input_shapes[0])
    return Rounded(size, deep + 1, 0), Rounded(8 * size, 0, pull, summed)


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
register(
    Operator(
        "matmul",
        matmul,
        matmul_interval,
        relax=matmul_relax,
        initial=middle,
        unstable=matmul_unstable,
        cut_gain=matmul_cut_gain,
        rounded=matmul_rounded,
    )
)
