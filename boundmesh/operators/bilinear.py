"""Defines what `multiply` and `matmul` share: ranges, ends and the first α of products.

The operators are in `multiply.py` and `matmul.py`. They are relaxed by McCormick's planes. For x in
[lx, ux] and y in [ly, uy], two planes are valid below and two above, and α mixes them. In the
middle of the box, all mixtures are equally far from x·y:

    x·y ≥ α(ly·x + lx·y − lx·ly) + (1 − α)(uy·x + ux·y − ux·uy)
    x·y ≤ α(uy·x + lx·y − lx·uy) + (1 − α)(ly·x + ux·y − ux·ly)
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.curve import rows_dim
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node


def product_range(x: Interval, y: Interval) -> Interval:
    """Return the least and the greatest product of an end of x and an end of y."""
    ends = (x.lower * y.lower, x.lower * y.upper, x.upper * y.lower, x.upper * y.upper)
    least = torch.minimum(torch.minimum(ends[0], ends[1]), torch.minimum(ends[2], ends[3]))
    most = torch.maximum(torch.maximum(ends[0], ends[1]), torch.maximum(ends[2], ends[3]))
    return Interval(least, most)


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
