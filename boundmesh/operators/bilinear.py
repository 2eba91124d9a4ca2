"""Products of two bounded operands, element by element and of matrices.

McCormick's planes, of which α mixes the two that are valid on each side (x in [lx, ux], y in
[ly, uy]); at the middle of the box all mixtures are equally far from x·y:

    x·y ≥ α(ly·x + lx·y − lx·ly) + (1 − α)(uy·x + ux·y − ux·uy)
    x·y ≤ α(uy·x + lx·y − lx·uy) + (1 − α)(ly·x + ux·y − ux·ly)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.curve import reach_of, rows_dim
from boundmesh.operators.inner_products import inner
from boundmesh.operators.node import Node
from boundmesh.operators.operator import (
    Interval,
    Lines,
    Operator,
    Pulled,
    Weights,
    register,
    same_partition,
)
from boundmesh.operators.rounding import Rounded

# Products made at a time by the interval of a matrix product.
BLOCK = 2**22


def product_range(x: Interval, y: Interval) -> Interval:
    """The least and the greatest of the products of ends."""
    ends = (x.lower * y.lower, x.lower * y.upper, x.upper * y.lower, x.upper * y.upper)
    least = torch.minimum(torch.minimum(ends[0], ends[1]), torch.minimum(ends[2], ends[3]))
    most = torch.maximum(torch.maximum(ends[0], ends[1]), torch.maximum(ends[2], ends[3]))
    return Interval(least, most)


def multiply(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """`x·y`, of equal shape."""
    return x * y


def multiply_interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    return product_range(x, y)


def multiply_relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    lx, ux, ly, uy = ends(boxes)
    # `a·lx + (1 − a)·ux` and the like; both planes have the same slope in y.
    at_x = ux + alpha * (lx - ux)
    below, above = uy + alpha * (ly - uy), ly + alpha * (uy - ly)
    lower = -(alpha * (lx * ly) + (1 - alpha) * (ux * uy))
    upper = -(alpha * (lx * uy) + (1 - alpha) * (ux * ly))
    return Lines((below, at_x), (above, at_x), lower, upper)


def multiply_unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Where neither operand is a constant."""
    x, y = boxes
    return (x.upper > x.lower) & (y.upper > y.lower)


def middle(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Lines below and above with equal slopes, so that what two rows share cancels."""
    x, y = boxes
    shape = (max(len(x.lower), len(y.lower)), *x.lower.shape[1:])
    return x.lower.new_full(shape, 0.5)


def ends(boxes: tuple[Interval, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """lx, ux, ly, uy with a dim for rows."""
    x, y = map(rows_dim, boxes)
    return x.lower, x.upper, y.lower, y.upper


def matmul(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """x `[D, *, m, k]` and y `[D, *, k, n]`, of equal leading axes, → `[D, *, m, n]`."""
    return torch.matmul(x, y)


def matmul_interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    """The sum over k of the ranges of the single products."""
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
    """McCormick's planes of all `x[i, k]·y[k, j]` of a matrix product, with one α per `x[i, k]`.

    Bounds `[D, 1, *]`, α `[D, R, *, m, k]`. There are m·k·n pairs of planes, but rows pass through
    them by products of matrices (as through the attention of arXiv 2002.06622, there without α).
    """

    lower_x: Tensor
    upper_x: Tensor
    lower_y: Tensor
    upper_y: Tensor
    alpha: Tensor

    def pull(self, rows: Tensor) -> Pulled:
        """With c and r the centre and radius of y, `M = A cᵀ`, `E = |A| rᵀ`, `p = α·lx + (1−α)·ux`:

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
    """Elements of x that are no constants and meet one of y that is none either."""
    x, y = boxes
    varied = (y.upper > y.lower).any(-1).unsqueeze(-2)
    return (x.upper > x.lower) & varied


def multiply_rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """A plane has two slopes and an intercept, of which each makes a product no larger than twice
    the largest one."""
    x, y = boxes
    size = reach_of(x) * reach_of(y)
    return Rounded(size, 1, 0), Rounded(6 * size, 0, 16, node.size)


def matmul_rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """The same for all products of a sum; `ProductPlanes.pull` adds them up along each axis."""
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
        undecided=multiply_unstable,
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
        undecided=matmul_unstable,
        rounded=matmul_rounded,
    )
)
