"""ONNX reductions and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import quotient
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import minus, negative, scale
from boundmesh.read.translate.select import pick
from boundmesh.read.translate.step import Step, Value, positive_axis, translates

Axes = tuple[int, ...]


def axes_of(step: Step, rank: int) -> Axes:
    """Return the axes that are reduced.

    Where none is given, all are reduced, or with noop_with_empty_axes none.
    """
    given = step.option(1, "axes")
    if given is None or given.size == 0:
        return () if step.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(positive_axis(axis, rank) for axis in given.ravel()))


def finish(step: Step, reduced: Node, axes: Axes) -> Node:
    """Return `reduced`, whose reduced axes have length 1, in the shape that `keepdims` demands."""
    if step.attribute("keepdims", 1):
        return reduced
    shape = tuple(n for axis, n in enumerate(reduced.shape) if axis not in axes)
    return step.build.reshape(reduced, shape)


# What is done to each element before the sum, and to the sum.
BEFORE = {
    "ReduceL1": "abs",
    "ReduceL2": "power",
    "ReduceLogSumExp": "exp",
    "ReduceSumSquare": "power",
}
AFTER = {"ReduceL2": "sqrt", "ReduceLogSum": "log", "ReduceLogSumExp": "log"}


@translates("ReduceSum", "ReduceMean", *BEFORE, *(AFTER.keys() - BEFORE.keys()))
def reduce_sum(step: Step) -> Value:
    """Translate a sum, with an elementwise operator before or after it."""
    build, x = step.build, step.node()
    axes = axes_of(step, len(x.shape))
    before = BEFORE.get(step.op)
    settings: dict[str, Any] = {"exponent": 2.0} if before == "power" else {}
    inner = build.add(before, x, **settings) if before else x
    result = build.add("sum", inner, axes=axes) if axes else inner
    if step.op == "ReduceMean":
        result = scale(build, result, quotient(float(result.size), float(x.size)))
    if step.op in AFTER:
        result = build.add(AFTER[step.op], result)
    return finish(step, result, axes)


def largest(build: Builder, x: Node, axes: Axes) -> Node:
    """Return the maximum over `axes`, which keep the length 1, by one operator for all of them."""
    if not axes:
        return x
    kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    moved = build.add("transpose", x, perm=(*kept, *axes))
    lengths = tuple(x.shape[axis] for axis in kept)
    flat = build.reshape(moved, (*lengths, x.size // int(np.prod(lengths, dtype=np.int64))))
    peak = build.add("max", flat, axis=len(kept))
    shape = tuple(1 if axis in axes else length for axis, length in enumerate(x.shape))
    return build.reshape(peak, shape)


@translates("ReduceProd")
def reduce_product(step: Step) -> Value:
    """Return the product over the axes, of halves of each axis, of halves of these, and so on."""
    build, x = step.build, step.node()
    axes = axes_of(step, len(x.shape))
    for axis in axes:
        while x.shape[axis] > 1:
            half, whole = x.shape[axis] // 2, x.shape[axis]
            first, second = (
                pick(build, x, axis, range(start, start + half)) for start in (0, half)
            )
            product = build.add("multiply", first, second)
            odd = pick(build, x, axis, [whole - 1]) if whole % 2 else None
            x = product if odd is None else build.add("concat", product, odd, axis=axis)
    return finish(step, x, axes)


@translates("ReduceMax")
def reduce_max(step: Step) -> Value:
    axes = axes_of(step, len(step.node().shape))
    return finish(step, largest(step.build, step.node(), axes), axes)


@translates("ReduceMin")
def reduce_min(step: Step) -> Value:
    """Return `−max(−x)`."""
    axes = axes_of(step, len(step.node().shape))
    peak = largest(step.build, negative(step.build, step.node()), axes)
    return finish(step, negative(step.build, peak), axes)


@translates("Softmax", "LogSoftmax")
def softmax(step: Step) -> Value:
    """Return `exp(xᵢ)/Σⱼ exp(xⱼ)`, or its logarithm `xᵢ − log Σⱼ exp(xⱼ)`.

    Normalises one axis, and before opset 13 all axes from `axis` on. An element of −∞ takes no
    part.
    """
    build, x = step.build, step.node()
    rank, mask = len(x.shape), build.masked.get(x.name)
    if step.opset >= 13:
        axes: Axes = (positive_axis(step.attribute("axis", -1), rank),)
    else:
        axes = tuple(range(positive_axis(step.attribute("axis", 1), rank), rank))
    if mask is not None and mask.all(axis=axes).any():
        raise step.refuse("every element of a row is −∞, so its result is not a number")
    if step.op == "LogSoftmax":
        if mask is not None:
            raise step.refuse("an element is −∞, and so is its result")
        mass = build.add("sum", build.add("exp", x), axes=axes)
        return minus(build, x, build.add("log", mass))
    lead = x.shape[: axes[0]]
    flat = x.shape if len(axes) == 1 else (*lead, int(np.prod(x.shape[axes[0] :])))
    keep: dict[str, Any] = {} if mask is None else {"keep": (~mask).reshape(flat)}
    result = build.add("softmax", build.reshape(x, flat), axis=axes[0], **keep)
    return build.reshape(result, x.shape)
