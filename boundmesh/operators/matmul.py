"""The operator matmul, which multiplies two matrices that both vary."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.bilinear import ends, middle, product_range
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.curve import reach_of
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

BLOCK = 2**22
"""The interval of a matrix product computes so many products at a time."""


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
