"""ONNX comparisons, logic, signs and rounding: steps, with whole results or zeros and ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import known, negated, sum_of
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import (
    at_least,
    at_most,
    combine,
    minus,
    negative,
    plus,
    scale,
    shift,
    times,
)
from boundmesh.read.translate.gates import operand
from boundmesh.read.translate.step import Step, Value, translates


def jump(build: Builder, x: Node, threshold: Value, tie: float, low: float = 0.0) -> Node:
    """Return 1 where `x > threshold`, `tie` where they are equal, and else `low`.

    x and the threshold are broadcast to one shape.
    """
    if isinstance(threshold, Node):
        return jump(build, minus(build, x, threshold), known(0.0), tie, low)
    x = build.broadcast(x, np.broadcast_shapes(x.shape, threshold.shape))
    if threshold.formed.depth:
        # A computed limit has a rounding, which a shift counts.
        return jump(build, shift(build, x, negated(threshold)), known(0.0), tie, low)
    numbers = np.asarray(threshold.array, np.float64)
    first = numbers.flat[0]
    bend = float(first) if np.all(numbers == first) else np.broadcast_to(numbers, x.shape).copy()
    return build.add("step", x, bend=bend, tie=tie, low=low, high=1.0)


def greater(build: Builder, x: Value, y: Value, tie: float) -> Node:
    """Return 1 where `x > y`, `tie` where they are equal, and else 0."""
    if isinstance(x, Constant):
        assert isinstance(y, Node)
        return jump(build, negative(build, y), negated(x), tie)
    return jump(build, x, y, tie)


def numbers_of(value: Value) -> Value:
    """Return a constant of truth values as zeros and ones, and any other value as it is."""
    if isinstance(value, Constant) and value.array.dtype.kind == "b":
        return Constant("", value.array.astype(np.float32))
    return value


@translates("Greater")
def is_greater(step: Step) -> Value:
    return greater(step.build, step.value(0), step.value(1), 0.0)


@translates("GreaterOrEqual")
def is_greater_or_equal(step: Step) -> Value:
    return greater(step.build, step.value(0), step.value(1), 1.0)


@translates("Less")
def is_less(step: Step) -> Value:
    return greater(step.build, step.value(1), step.value(0), 0.0)


@translates("LessOrEqual")
def is_less_or_equal(step: Step) -> Value:
    return greater(step.build, step.value(1), step.value(0), 1.0)


@translates("Equal")
def is_equal(step: Step) -> Value:
    return equal(step.build, numbers_of(step.value(0)), numbers_of(step.value(1)))


def equal(build: Builder, x: Value, y: Value) -> Node:
    """Return `[x ≥ y] + [y ≥ x] − 1`."""
    both = plus(build, greater(build, x, y, 1.0), greater(build, y, x, 1.0))
    return build.add("relu", shift(build, both, -1.0))


@translates("Sign")
def sign(step: Step) -> Value:
    return jump(step.build, step.node(), known(0.0), tie=0.0, low=-1.0)


@translates("Round")
def nearest_whole(step: Step) -> Value:
    """Return the nearest whole number; of two that are equally near, the even one."""
    return step.build.add("round", step.node())


def truncated(build: Builder, x: Node) -> Node:
    """Return the whole number next to x towards zero: `⌊max(x, 0)⌋ − ⌊max(−x, 0)⌋`."""
    above = build.add("floor", build.add("relu", x))
    below = build.add("floor", build.add("relu", negative(build, x)))
    return minus(build, above, below)


@translates("Not")
def negation(step: Step) -> Value:
    """Return `1 − x`."""
    return minus(step.build, known(1.0), step.node())


def both(build: Builder, x: Node, y: Node) -> Node:
    """Return `max(x + y − 1, 0)` of zeros and ones."""
    return build.add("relu", shift(build, combine(build, "add", x, y), -1.0))


def either(build: Builder, x: Node, y: Node) -> Node:
    """Return `min(x + y, 1)` of zeros and ones."""
    return at_most(build, combine(build, "add", x, y), 1.0)


def differs(build: Builder, x: Node, y: Node) -> Node:
    """Return `|x − y|` of zeros and ones."""
    return build.add("abs", combine(build, "subtract", x, y))


LOGIC: dict[str, Callable[[Builder, Node, Node], Node]] = {
    "And": both,
    "Or": either,
    "Xor": differs,
}


@translates(*LOGIC)
def logic(step: Step) -> Value:
    first, second = (numbers_of(step.value(place)) for place in (0, 1))
    build = step.build
    x, y = (build.constant(v) if isinstance(v, Constant) else v for v in (first, second))
    return LOGIC[step.op](build, x, y)


@translates("Where")
def where(step: Step) -> Value:
    """Return x where the condition holds, and else y."""
    condition, x, y = step.value(0), step.value(1), step.value(2)
    if isinstance(condition, Constant):
        return chosen(step, condition.array.astype(bool))
    for value in (x, y):
        if isinstance(value, Constant) and not np.isfinite(value.array).all():
            raise step.refuse("its condition depends on the network's input, and a value is ±∞")
    build = step.build
    cut = threshold(build, condition, x, y)
    if cut is not None:
        return cut
    if isinstance(x, Constant) and isinstance(y, Constant):
        # y + c·(x − y), of a difference that is rounded where x and y are nodes no less.
        part = times(build, condition, x)
        return plus(build, part, times(build, minus(build, known(1.0), condition), y))
    difference = minus(build, x, y)
    return plus(build, times(build, condition, difference), y)


def threshold(build: Builder, condition: Node, x: Value, y: Value) -> Node | None:
    """Cut a value off at a threshold, `v if v > t else k`, without a product.

    It is `max(v, t) + (k − t)·(1 − [v > t])`; where v is the value for `v ≤ t`, it is
    `min(v, t) + (k − t)·[v > t]`. Returns None for other conditions.
    """
    if condition.op != "step" or condition["low"] != 0 or not isinstance(condition["bend"], float):
        return None
    tested, bend = operand(build, condition), float(condition["bend"])
    if isinstance(x, Constant) == isinstance(y, Constant):
        return None
    value, other = (y, x) if isinstance(x, Constant) else (x, y)
    assert isinstance(value, Node) and isinstance(other, Constant)
    holds = isinstance(y, Constant)
    downwards = tested.op == "scale" and operand(build, tested) == value
    if tested != value and not (downwards and np.all(build.weights[tested.weights[0]] == -1)):
        return None
    if other.formed.depth or np.broadcast_shapes(other.shape, value.shape) != value.shape:
        return None
    bound, rises = (-bend, not holds) if downwards else (bend, holds)
    cut = at_least(build, value, bound) if rises else at_most(build, value, bound)
    if np.all(other.array == bound):
        return cut
    gap = sum_of(other, -bound)
    taken = minus(build, known(1.0), condition) if holds else condition
    return plus(build, cut, scale(build, taken, gap))


def chosen(step: Step, condition: np.ndarray) -> Node:
    """Return `x·c + y·(1 − c)` for a constant condition c, all exact."""
    build, x, y = step.build, numbers_of(step.value(1)), numbers_of(step.value(2))
    if isinstance(x, Constant):
        kept = scale(build, step.node(2), np.where(condition, 0.0, 1.0))
        return shift(build, kept, masked(x, condition))
    kept = scale(build, x, np.where(condition, 1.0, 0.0))
    if isinstance(y, Constant):
        return shift(build, kept, masked(y, ~condition))
    return plus(build, kept, scale(build, y, np.where(condition, 0.0, 1.0)))


def masked(constant: Constant, kept: np.ndarray) -> Constant:
    """Return the constant with zeros where it is not kept, which are formed no worse."""
    moved = constant.moved(lambda array: np.where(kept, array, 0))
    return Constant("", moved.array, moved.formed)
