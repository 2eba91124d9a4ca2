"""Embeddings: a table whose rows are picked by whole numbers that depend on the input.

With `[x ≥ k]` as a step at k − ½, the row of a whole number x of 0 … V − 1 is

    table[x] = table[0] + Σₖ (table[k] − table[k−1])·[x ≥ k],  k = 1 … V − 1.

Where x is known to lie in l … u, all steps but those of l + 1 … u are known, so that the bounds
are those of the rows that the range selects. A row of one number is exact, and so is the range of
two neighbouring rows. Of more rows the sum of all steps is far wider than the rows are, so the
result is clipped to the least and the largest number of each column, which changes no row.
"""

from __future__ import annotations

import math

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import known, negated, sum_of
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import clip, minus, plus, scale
from boundmesh.read.translate.step import TRANSLATIONS, Step, Value, positive_axis


def reached(build: Builder, index: Node, count: int) -> Node:
    """Return `[x ≥ 1], …, [x ≥ count − 1]` of whole x, along a new last axis.

    Numbers below zero count from the end, as in ONNX.
    """
    places = wrapped(build, index, count)
    column = build.reshape(places, (*index.shape, 1))
    wide = build.broadcast(column, (*index.shape, count - 1))
    bends = np.broadcast_to(np.arange(1, count) - 0.5, wide.shape).copy()
    return build.add("step", wide, bend=bends, tie=1.0, low=0.0, high=1.0)


def wrapped(build: Builder, index: Node, count: int) -> Node:
    """Return `x + count·[x < 0]`."""
    natural = build.add("step", index, bend=-0.5, tie=1.0, low=0.0, high=1.0)
    return plus(build, index, scale(build, minus(build, known(1.0), natural), float(count)))


def one_hot(build: Builder, index: Node, count: int) -> Node:
    """Return 1 at the place of each whole number and else 0, along a new last axis of `count`."""
    if count == 1:
        return build.constant(Constant("", np.ones((*index.shape, 1))))
    # Row k is [x ≥ k] − [x ≥ k + 1], and [x ≥ 0] is 1.
    steps = np.zeros((count, count - 1))
    steps[np.arange(1, count), np.arange(count - 1)] = 1.0
    steps[np.arange(count - 1), np.arange(count - 1)] = -1.0
    first = np.zeros(count)
    first[0] = 1.0
    steps_reached = reached(build, index, count)
    return build.add("linear", steps_reached, weights=(known(steps), known(first)))


def looked_up(step: Step, index: Node) -> Value:
    """Return the rows of operand 0 along the axis, picked by an index that depends on the input."""
    build, data = step.build, step.value(0)
    axis = positive_axis(step.attribute("axis", 0), len(data.shape))
    before, count, after = data.shape[:axis], data.shape[axis], data.shape[axis + 1 :]
    if not count:
        raise step.refuse("its table has no rows")
    if isinstance(data, Node):
        rows = rows_of_node(step, data, index, axis)
    else:
        table = data.moved(lambda array: np.moveaxis(array, axis, 0).reshape(count, -1))
        rows = rows_of_table(build, table, index)
    moved = build.reshape(rows, (*index.shape, *before, *after))
    rank, lead = len(index.shape), len(before)
    perm = (
        *range(rank, rank + lead),
        *range(rank),
        *range(rank + lead, rank + lead + len(after)),
    )
    return moved if perm == tuple(range(len(perm))) else build.add("transpose", moved, perm=perm)


def rows_of_table(build: Builder, table: Constant, index: Node) -> Node:
    """Return the rows `[*index.shape, R]` of a constant table `[V, R]`."""
    count, width = table.shape
    first = table.moved(lambda array: array[0])
    if count == 1:
        whole = first.moved(lambda array: np.broadcast_to(array, (*index.shape, width)).copy())
        return build.constant(whole)
    lower, upper = table.moved(lambda array: array[:-1]), table.moved(lambda array: array[1:])
    rises = sum_of(upper, negated(lower)).moved(lambda array: np.ascontiguousarray(array.T))
    rows = build.add("linear", reached(build, index, count), weights=(rises, first))
    # Numbers that were rounded may lie aside of the least and the largest that are known.
    if count == 2 or table.formed.depth:
        return rows
    shape = (*index.shape, width)
    low, high = (np.broadcast_to(end, shape) for end in (table.array.min(0), table.array.max(0)))
    return clip(build, rows, low.copy(), high.copy())


def rows_of_node(step: Step, data: Node, index: Node, axis: int) -> Node:
    """Return the rows of a table that depends on the input, too: products with ones and zeros."""
    build, count = step.build, data.shape[axis]
    perm = (axis, *(place for place in range(len(data.shape)) if place != axis))
    front = data if axis == 0 else build.add("transpose", data, perm=perm)
    table = build.reshape(front, (count, data.size // count))
    picks = build.reshape(one_hot(build, index, count), (math.prod(index.shape), count))
    product = TRANSLATIONS["MatMul"](
        Step("MatMul", step.name, step.opset, (picks, table), {}, step.outputs, build)
    )
    assert isinstance(product, Node)
    return product
