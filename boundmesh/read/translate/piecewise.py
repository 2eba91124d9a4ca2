"""ONNX functions that are made of pieces, of exponentials, or of the place of the largest."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import combine, minus, negative, plus, scale, shift
from boundmesh.read.translate.lookup import one_hot
from boundmesh.read.translate.step import Step, Value, positive_axis, translates


def beyond(build: Builder, x: Node, limit: float, value: float) -> Node:
    """Return `x − limit + value` where `x > limit`, and else 0: a relu and a step."""
    over = build.add("relu", shift(build, x, -limit))
    if not value:
        return over
    jump = build.add("step", x, bend=limit, tie=0.0, low=0.0, high=1.0)
    return plus(build, over, scale(build, jump, value))


@translates("ThresholdedRelu")
def thresholded(step: Step) -> Value:
    """Return x where `x > alpha`, and else 0."""
    limit = step.real("alpha", 1.0)
    return beyond(step.build, step.node(), limit, limit)


@translates("Shrink")
def shrink(step: Step) -> Value:
    """Return `x − bias` where `x > lambd`, `x + bias` where `x < −lambd`, and else 0."""
    build, x = step.build, step.node()
    limit, bias = step.real("lambd", 0.5), step.real("bias", 0.0)
    if limit < 0:
        raise step.refuse(f"its lambd is {limit:g}; expected 0 and more")
    above, below = (beyond(build, side, limit, limit - bias) for side in (x, negative(build, x)))
    return minus(build, above, below)


@translates("Sinh", "Cosh")
def hyperbolic(step: Step) -> Value:
    """Return `(exp(x) ∓ exp(−x))/2`."""
    build, x = step.build, step.node()
    rising, falling = build.add("exp", x), build.add("exp", negative(build, x))
    combined = combine(build, "subtract" if step.op == "Sinh" else "add", rising, falling)
    return scale(build, combined, 0.5)


@translates("Hardmax")
def hardmax(step: Step) -> Value:
    """Return 1 at the first largest element along an axis, and else 0.

    Before opset 13 the axis and all after it are one.
    """
    build, x = step.build, step.node()
    rank = len(x.shape)
    axis = positive_axis(step.attribute("axis", -1 if step.opset >= 13 else 1), rank)
    after = x.shape[axis + 1 :] if step.opset >= 13 else ()
    count = x.shape[axis] if step.opset >= 13 else int(np.prod(x.shape[axis:]))
    flat = build.reshape(x, (*x.shape[:axis], count, *after))
    largest = build.add("argmax", flat, axis=axis, last=False)
    return build.reshape(to_axis(build, one_hot(build, largest, count), axis), x.shape)


def to_axis(build: Builder, x: Node, axis: int) -> Node:
    """Move the last axis to `axis`."""
    last = len(x.shape) - 1
    if axis == last:
        return x
    perm = [place for place in range(last)]
    perm.insert(axis, last)
    return build.add("transpose", x, perm=tuple(perm))
