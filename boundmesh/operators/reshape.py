"""The operators reshape, transpose and expand, which reorder or repeat neurons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone, same_shape
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths
from boundmesh.operators.window_moves import (
    pull_expand_windows,
    pull_reshape_windows,
    pull_transpose_windows,
)


def reshape(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the neurons, in row-major order, in the shape `node.shape`."""
    return x.reshape(x.shape[0], *node.shape)


def pull_reshape(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    return Pulled((rows.reshape(*rows.shape[:2], *node.input_shapes[0]),))


def transpose(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return x with its axes permuted: axis i of the result is axis `perm[i]` of x."""
    return x.permute(0, *(axis + 1 for axis in node["perm"]))


def pull_transpose(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    perm = node["perm"]
    places = sorted(range(len(perm)), key=perm.__getitem__)
    return Pulled((rows.permute(0, 1, *(axis + 2 for axis in places)),))


def expand(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return x with axes of length 1 repeated to `node.shape`, which has as many axes."""
    return x.expand(x.shape[0], *node.shape)


def pull_expand(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows back: they are summed over the repeated axes."""
    pairs = zip(node.input_shapes[0], node.shape, strict=True)
    repeated = [dim for dim, (old, new) in enumerate(pairs, start=2) if old != new]
    return Pulled((rows.sum(repeated, keepdim=True) if repeated else rows,))


def expand_lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: pulled rows are summed over the repeated axes."""
    return Lengths(0, node.size // max(1, math.prod(node.input_shapes[0])))


def reshape_partition(node: Node, cut: Partition) -> Partition | None:
    """Return the partition of the output in which every rank keeps its neurons, or None.

    Its cuts lie along the same axis if the shapes agree up to there, and otherwise along the first
    axis of the output that is longer than 1.
    """
    (shape,) = node.input_shapes
    before = cut.axis + 1
    if node.shape[:before] == shape[:before]:
        return cut
    axis = next((axis for axis, length in enumerate(node.shape) if length > 1), 0)
    run, step = math.prod(shape[before:]), math.prod(node.shape[axis + 1 :])
    if math.prod(shape[: cut.axis]) > 1 or any(end * run % step for end in cut.ends):
        return None
    return Partition(axis, tuple(end * run // step for end in cut.ends))


def transpose_partition(node: Node, cut: Partition) -> Partition:
    return Partition(list(node["perm"]).index(cut.axis), cut.ends)


def expand_partition(node: Node, cut: Partition) -> Partition | None:
    return cut if node.shape[cut.axis] == node.input_shapes[0][cut.axis] else None


def keeps_every_axis(node: Node, weights: Sequence[np.ndarray]) -> bool:
    result: bool = node["perm"] == tuple(range(len(node.shape)))
    return result


def keeps_order(node: Node) -> bool:
    """Return True if the transpose moves only axes of length 1."""
    long = [axis for axis in node["perm"] if node.input_shapes[0][axis] != 1]
    return long == sorted(long)


def second_reshape(first: Node, second: Node) -> Mapping[str, Any]:
    return second.attributes


def both_transposes(first: Node, second: Node) -> Mapping[str, Any]:
    return {**second.attributes, "perm": tuple(first["perm"][axis] for axis in second["perm"])}


def as_reshape(node: Node) -> Node:
    """Return a reshape that replaces a node which keeps the order of neurons."""
    return replace(node, op=RESHAPE, attributes={})


def reshape_node(name: str, operand: str, shape: Shape, before: Shape) -> Node:
    """Return a reshape of the node `operand`, of shape `before`, to `shape`."""
    return Node(name, RESHAPE, (operand,), shape, (before,))


RESHAPE = "reshape"
register(
    Operator(
        RESHAPE,
        reshape,
        monotone(reshape),
        pull=pull_reshape,
        pull_windows=pull_reshape_windows,
        rising=True,
        keeps_box=True,
        partition=reshape_partition,
        is_identity=same_shape,
        merged=second_reshape,
        declares_shape=True,
    )
)
register(
    Operator(
        "transpose",
        transpose,
        monotone(transpose),
        pull=pull_transpose,
        pull_windows=pull_transpose_windows,
        rising=True,
        keeps_box=True,
        partition=transpose_partition,
        is_identity=keeps_every_axis,
        merged=both_transposes,
        keeps_order=keeps_order,
    )
)
EXPAND = register(
    Operator(
        "expand",
        expand,
        monotone(expand),
        pull=pull_expand,
        pull_windows=pull_expand_windows,
        lengths=expand_lengths,
        rising=True,
        partition=expand_partition,
        is_identity=same_shape,
        declares_shape=True,
    )
)
