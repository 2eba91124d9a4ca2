"""ONNX operators that act element by element and broadcast."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from boundmesh.errors import ReadError
from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import Given, known, negated, quotient, wide
from boundmesh.operators.node import Node
from boundmesh.read.translate.gates import gated
from boundmesh.read.translate.step import Step, Value, translates


def shift(build: Builder, x: Node, constant: Given) -> Node:
    """Return `x + c`, broadcast."""
    constant = known(constant)
    x = build.broadcast(x, np.broadcast_shapes(x.shape, constant.shape))
    hidden = np.isneginf(constant.array) if constant.array.dtype.kind == "f" else np.False_
    if np.any(hidden):
        # −∞ hides an element, which the node holds as zero.
        x = scale(build, x, np.where(hidden, 0.0, 1.0))
        constant = constant.moved(lambda array: np.where(hidden, 0, array))
    shifted = build.add("shift", x, weights=(constant,))
    if np.any(hidden):
        build.masked[shifted.name] = np.array(np.broadcast_to(hidden, shifted.shape))
    return shifted


def scale(build: Builder, x: Node, constant: Given) -> Node:
    """Return `x·c`, broadcast."""
    constant = known(constant)
    x = build.broadcast(x, np.broadcast_shapes(x.shape, constant.shape))
    return build.add("scale", x, weights=(constant,))


def negative(build: Builder, x: Node) -> Node:
    """Return `−x`."""
    return scale(build, x, -1.0)


def combine(build: Builder, op: str, x: Node, y: Node) -> Node:
    """Broadcast two bounded operands to one shape, and combine them by an operator."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    return build.add(op, build.broadcast(x, shape), build.broadcast(y, shape))


def plus(build: Builder, x: Value, y: Value) -> Node:
    """Return `x + y` of two values, not both constant."""
    if isinstance(x, Constant):
        x, y = y, x
    assert isinstance(x, Node)
    return shift(build, x, y) if isinstance(y, Constant) else combine(build, "add", x, y)


def minus(build: Builder, x: Value, y: Value) -> Node:
    """Return `x − y` of two values, not both constant."""
    if isinstance(x, Constant):
        assert isinstance(y, Node)
        return shift(build, negative(build, y), x)
    return (
        shift(build, x, negated(y)) if isinstance(y, Constant) else combine(build, "subtract", x, y)
    )


def times(build: Builder, x: Value, y: Value) -> Node:
    """Return `x·y`; a value times itself is a square, which bounds better than a product."""
    if isinstance(x, Constant):
        x, y = y, x
    assert isinstance(x, Node)
    if isinstance(y, Constant):
        return scale(build, x, y)
    if x == y:
        return build.add("power", x, exponent=2.0)
    gate = gated(build, x, y) if x.shape == y.shape else None
    if gate is not None:
        return scale(build, gate.node, gate.factor)
    return combine(build, "multiply", x, y)


def larger(build: Builder, x: Value, y: Value) -> Node:
    """Return `max(x, y)` of two values, not both constant.

    For two values that are bounded it is `y + relu(x − y)`.
    """
    if isinstance(x, Constant):
        x, y = y, x
    assert isinstance(x, Node)
    if isinstance(y, Constant):
        return at_least(build, x, y)
    return plus(build, y, build.add("relu", minus(build, x, y)))


def smaller(build: Builder, x: Value, y: Value) -> Node:
    """Return `min(x, y)` of two values, not both constant.

    For two values that are bounded it is `y − relu(y − x)`.
    """
    if isinstance(x, Constant):
        x, y = y, x
    assert isinstance(x, Node)
    if isinstance(y, Constant):
        return at_most(build, x, y)
    return minus(build, y, build.add("relu", minus(build, y, x)))


def at_least(build: Builder, x: Node, low: Given) -> Node:
    """Return `max(x, low)`, broadcast: x itself where low is −∞, a relu where it is zero."""
    limit = known(low)
    if not limit.formed.depth and np.all(limit.array == 0):
        return build.add("relu", build.broadcast(x, np.broadcast_shapes(x.shape, limit.shape)))
    return bent(build, "at_least", x, limit, -np.inf)


def at_most(build: Builder, x: Node, high: Given) -> Node:
    """Return `min(x, high)`, broadcast: x itself where high is ∞."""
    return bent(build, "at_most", x, known(high), np.inf)


def bent(build: Builder, op: str, x: Node, limit: Constant, never: float) -> Node:
    """Return `at_least` or `at_most`; a limit of `never` does not act on any real number.

    Raises ReadError for other limits that are no finite numbers.
    """
    x = build.broadcast(x, np.broadcast_shapes(x.shape, limit.shape))
    numbers = wide(limit)
    if np.all(numbers == never):
        return x
    if not np.all(np.isfinite(numbers)):
        raise ReadError(f"value '{build.scope}' has a limit that is no finite number")
    first = numbers.flat[0]
    bend = float(first) if np.all(numbers == first) else np.broadcast_to(numbers, x.shape).copy()
    size = limit.formed.size
    sizes: dict[str, Any] = {} if size is None else {"size": float(np.max(size))}
    return build.add(op, x, weights=(limit,), bend=bend, **sizes)


def clip(build: Builder, x: Node, low: Given | None, high: Given | None) -> Node:
    """Return `min(max(x, low), high)`; None for no limit."""
    if low is not None:
        x = at_least(build, x, low)
    return x if high is None else at_most(build, x, high)


def several(step: Step, combination: Callable[[Builder, Value, Value], Node]) -> Value:
    """Combine all operands one by one, bounded ones first; at least one of them is bounded."""
    values: list[Value] = [value for value in step.operands if isinstance(value, Node)]
    values += [value for value in step.operands if isinstance(value, Constant)]
    return reduce(lambda x, y: combination(step.build, x, y), values)


@translates("Add", "Sum")
def add(step: Step) -> Value:
    return several(step, plus)


@translates("Mul")
def multiply(step: Step) -> Value:
    return several(step, times)


@translates("Max")
def maximum(step: Step) -> Value:
    return several(step, larger)


@translates("Min")
def minimum(step: Step) -> Value:
    return several(step, smaller)


@translates("Mean")
def mean(step: Step) -> Value:
    total = several(step, plus)
    assert isinstance(total, Node)
    return scale(step.build, total, quotient(1.0, float(len(step.operands))))


@translates("Sub")
def subtract(step: Step) -> Value:
    return minus(step.build, step.value(0), step.value(1))


@translates("Neg")
def negate(step: Step) -> Value:
    return negative(step.build, step.node())


@translates("Clip")
def clamp(step: Step) -> Value:
    return clip(step.build, step.node(), step.limit(1, "min"), step.limit(2, "max"))
