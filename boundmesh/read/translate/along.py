"""Products with a constant matrix along one axis: cumulative sums and local responses."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import Given, known, quotient
from boundmesh.operators.node import Node
from boundmesh.read.translate.activation import raised
from boundmesh.read.translate.arithmetic import scale, shift, times
from boundmesh.read.translate.step import Step, Value, positive_axis, translates


def along(build: Builder, x: Node, axis: int, matrix: Given) -> Node:
    """Return `y[..., i, ...] = Σⱼ matrix[i, j]·x[..., j, ...]` along `axis`."""
    last = len(x.shape) - 1
    if axis == last:
        return build.add("linear", x, weights=(known(matrix),))
    perm = list(range(len(x.shape)))
    perm[axis], perm[last] = last, axis
    moved = build.add("transpose", x, perm=tuple(perm))
    product = build.add("linear", moved, weights=(known(matrix),))
    return build.add("transpose", product, perm=tuple(perm))


@translates("CumSum")
def cumulative_sum(step: Step) -> Value:
    """Return `yᵢ = Σⱼ xⱼ` over j ≤ i, j < i (exclusive), j ≥ i (reverse) or j > i (both)."""
    x = step.node(0)
    axis = positive_axis(int(np.ravel(step.constant(1, "axis"))[0]), len(x.shape))
    length = x.shape[axis]
    kept = np.tril(np.ones((length, length)), -1 if step.attribute("exclusive", 0) else 0)
    return along(step.build, x, axis, kept.T if step.attribute("reverse", 0) else kept)


@translates("LRN")
def local_response(step: Step) -> Value:
    """Return `x/(bias + α/size·Σ x²)^β`, the sum over `size` neighbouring channels (axis 1)."""
    build, x, size = step.build, step.node(0), step.attribute("size")
    channels = x.shape[1]
    offset = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    near = (offset >= -((size - 1) // 2)) & (offset <= size // 2)
    squares = along(build, build.add("power", x, exponent=2.0), 1, near.astype(np.float64))
    share = quotient(step.real("alpha", 1e-4), float(size))
    base = shift(build, scale(build, squares, share), step.real("bias", 1.0))
    return times(build, x, raised(build, base, -step.real("beta", 0.75)))
