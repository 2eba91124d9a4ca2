"""ONNX operators that act element by element and broadcast."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.graph import Node
from boundmesh.read.translate.step import Step, Value, translates

LARGEST = float(np.finfo(np.float32).max)


def shift(build: Builder, x: Node, constant: Constant | np.ndarray) -> Node:
    """`x + c`, broadcast."""
    x = build.broadcast(x, np.broadcast_shapes(x.shape, constant.shape))
    return build.add("shift", x, weights=(constant,))


def scale(build: Builder, x: Node, constant: Constant | np.ndarray | float) -> Node:
    """`x·c`, broadcast."""
    if isinstance(constant, float):
        constant = np.asarray(constant)
    x = build.broadcast(x, np.broadcast_shapes(x.shape, constant.shape))
    return build.add("scale", x, weights=(constant,))


def negative(build: Builder, x: Node) -> Node:
    """`−x`."""
    return scale(build, x, -1.0)


def combine(build: Builder, op: str, x: Node, y: Node) -> Node:
    """An op of two bounded operands, broadcast to equal shape."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    return build.add(op, build.broadcast(x, shape), build.broadcast(y, shape))


def plus(build: Builder, x: Value, y: Value) -> Node:
    """`x + y` of two values, not both constant."""
    if isinstance(x, Constant):
        x, y = y, x
    assert isinstance(x, Node)
    return shift(build, x, y) if isinstance(y, Constant) else combine(build, "add", x, y)


def minus(build: Builder, x: Value, y: Value) -> Node:
    """`x − y` of two values, not both constant."""
    if isinstance(x, Constant):
        assert isinstance(y, Node)
        return shift(build, negative(build, y), x)
    return (
        shift(build, x, -y.array) if isinstance(y, Constant) else combine(build, "subtract", x, y)
    )


def times(build: Builder, x: Value, y: Value) -> Node:
    """`x·y`; a value times itself is a square, which bounds better than a product."""
    if isinstance(x, Constant):
        x, y = y, x
    assert isinstance(x, Node)
    if isinstance(y, Constant):
        return scale(build, x, y)
    return build.add("power", x, exponent=2.0) if x == y else combine(build, "multiply", x, y)


def larger(build: Builder, x: Value, y: Value) -> Node:
    """`max(x, y) = y + relu(x − y)`."""
    if isinstance(x, Constant):
        x, y = y, x
    return plus(build, y, build.add("relu", minus(build, x, y)))


def smaller(build: Builder, x: Value, y: Value) -> Node:
    """`min(x, y) = y − relu(y − x)`."""
    if isinstance(x, Constant):
        x, y = y, x
    return minus(build, y, build.add("relu", minus(build, y, x)))


def clip(build: Builder, x: Node, low: np.ndarray | None, high: np.ndarray | None) -> Node:
    """`min(max(x, low), high) = high − relu(high − low − relu(x − low))`; None for no limit."""
    # Exporters write the largest float32 for no limit; shifting by it would drown every value.
    if low is not None and np.all(low <= -LARGEST):
        low = None
    if high is not None and np.all(high >= LARGEST):
        high = None
    if low is not None:
        above = build.add("relu", x if not np.any(low) else shift(build, x, -low))
        if high is None:
            return above if not np.any(low) else shift(build, above, low)
        room = shift(build, negative(build, above), high - low)
        return shift(build, negative(build, build.add("relu", room)), high)
    return x if high is None else smaller(build, x, Constant(f"{build.scope}:high", high))


def several(step: Step, combination: Callable[[Builder, Value, Value], Node]) -> Value:
    """All operands combined one by one, bounded ones first; there is at least one bounded."""
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
    return scale(step.build, total, 1 / len(step.operands))


@translates("Sub")
def subtract(step: Step) -> Value:
    return minus(step.build, step.value(0), step.value(1))


@translates("Div")
def divide(step: Step) -> Value:
    """`x·(1/y)`."""
    y = step.value(1)
    if isinstance(y, Node):
        return times(step.build, step.value(0), step.build.add("reciprocal", y))
    if not np.all(y.array):
        raise step.refuse("it divides by a constant that holds zero")
    return scale(step.build, step.node(0), 1 / y.array)


@translates("Neg")
def negate(step: Step) -> Value:
    return negative(step.build, step.node())


@translates("Clip")
def clamp(step: Step) -> Value:
    return clip(step.build, step.node(), step.option(1, "min"), step.option(2, "max"))


@translates("Where")
def where(step: Step) -> Value:
    """`x·c + y·(1 − c)` for a constant condition c."""
    condition = step.constant(0, "condition")
    x, y = step.operand(1), step.operand(2)
    if isinstance(x, Constant):
        kept = scale(step.build, step.node(2), np.where(condition, 0.0, 1.0))
        return shift(step.build, kept, np.where(condition, x.array, 0))
    kept = scale(step.build, step.node(1), np.where(condition, 1.0, 0.0))
    if isinstance(y, Constant):
        return shift(step.build, kept, np.where(condition, 0, y.array))
    return plus(step.build, kept, scale(step.build, step.node(2), np.where(condition, 0.0, 1.0)))
