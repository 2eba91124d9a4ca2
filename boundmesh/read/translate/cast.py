"""ONNX conversions between types, and remainders."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.build import Constant
from boundmesh.graph.constant import known, quotient
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import minus, negative, scale, shift, times
from boundmesh.read.translate.compare import equal, truncated
from boundmesh.read.translate.step import REAL, Step, Value, translates

BOOL = 9
WHOLE = frozenset((2, 3, 4, 5, 6, 7, 12, 13))
"""The ONNX element types of whole numbers of 8 bits and more."""


@translates("Cast")
def cast(step: Step) -> Value:
    """Convert to a type.

    A real type keeps the value, since bounds hold in real arithmetic for a type of any width. Whole
    numbers are cut off towards zero; a truth value is whether a number differs from zero.
    """
    x, to = step.node(), step.attribute("to")
    kind = step.build.kinds.get(x.name)
    if kind is not None and to != BOOL:
        # A node of its own, as it has another type than x.
        return step.build.add("reshape", x, shape=x.shape)
    if to in REAL or kind == "b":
        return x
    if to == BOOL:
        return minus(step.build, known(1.0), equal(step.build, x, known(0.0)))
    if to not in WHOLE:
        raise step.refuse("it rounds to a type that is neither real nor whole")
    return truncated(step.build, x)


@translates("CastLike")
def cast_like(step: Step) -> Value:
    like = step.operand(1)
    if isinstance(like, Constant) and like.array.dtype.kind in "iub":
        raise step.refuse(f"it rounds to {like.array.dtype}; only real types are supported")
    x = step.node()
    return step.build.add("reshape", x, shape=x.shape) if x.name in step.build.kinds else x


@translates("Div")
def divide(step: Step) -> Value:
    """Return `x·(1/y)`, with 1/y in float64 where y is constant; whole numbers are cut off.

    As x is whole, `⌊x/y⌋ = ⌊(x + ½)/y⌋` for x ≥ 0 and y ≥ 1, which no rounding reaches.
    """
    build, y = step.build, step.value(1)
    whole = any(isinstance(v, Node) and build.kinds.get(v.name) == "i" for v in step.operands)
    if isinstance(y, Node):
        if whole:
            raise step.refuse("it divides whole numbers by one that depends on the input")
        return times(build, step.value(0), build.add("reciprocal", y))
    if not np.all(y.array):
        raise step.refuse("it divides by a constant that holds zero")
    x = step.node(0)
    if not whole:
        return scale(build, x, quotient(1.0, y))
    share = quotient(1.0, Constant("", np.abs(y.array.astype(np.float64))))
    parts = [
        build.add("floor", scale(build, shift(build, build.add("relu", value), 0.5), share))
        for value in (x, negative(build, x))
    ]
    return scale(build, minus(build, *parts), np.sign(y.array).astype(np.float64))


@translates("Mod")
def remainder(step: Step) -> Value:
    """Return `x − y·trunc(x/y)` for constant y; with fmod=0, of whole numbers, `x − y·⌊x/y⌋`."""
    build, x, y = step.build, step.node(0), step.known(1, "divisor")
    if not np.all(y.array):
        raise step.refuse("it divides by a constant that holds zero")
    share = scale(build, x, quotient(1.0, y))
    whole: Node = (
        truncated(build, share) if step.attribute("fmod", 0) else build.add("floor", share)
    )
    return minus(build, x, scale(build, whole, y))
