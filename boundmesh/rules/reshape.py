"""Reshape, transpose and expand: the same neurons in another order or repeated."""

from __future__ import annotations

import math

from torch import Tensor

from boundmesh.graph.graph import Node
from boundmesh.rules.operator import Operator, Pulled, Weights, monotone, register
from boundmesh.rules.rounding import Lengths


def reshape(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """The neurons in row-major order as `node.shape`."""
    return x.reshape(x.shape[0], *node.shape)


def pull_reshape(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    return Pulled((rows.reshape(*rows.shape[:2], *node.input_shapes[0]),))


def transpose(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Axis i of the result is axis `perm[i]` of x."""
    return x.permute(0, *(axis + 1 for axis in node["perm"]))


def pull_transpose(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    perm = node["perm"]
    places = sorted(range(len(perm)), key=perm.__getitem__)
    return Pulled((rows.permute(0, 1, *(axis + 2 for axis in places)),))


def expand(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Axes of length 1 repeated until the shape is `node.shape`, of equal rank."""
    return x.expand(x.shape[0], *node.shape)


def pull_expand(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """The sum over the repeated axes."""
    pairs = zip(node.input_shapes[0], node.shape, strict=True)
    repeated = [dim for dim, (old, new) in enumerate(pairs, start=2) if old != new]
    return Pulled((rows.sum(repeated, keepdim=True) if repeated else rows,))


def expand_lengths(node: Node, weights: Weights) -> Lengths:
    """Rows of what is repeated are added up."""
    return Lengths(0, node.size // max(1, math.prod(node.input_shapes[0])))


register(Operator("reshape", reshape, monotone(reshape), pull=pull_reshape, rising=True))
register(Operator("transpose", transpose, monotone(transpose), pull=pull_transpose, rising=True))
register(
    Operator(
        "expand",
        expand,
        monotone(expand),
        pull=pull_expand,
        lengths=expand_lengths,
        rising=True,
    )
)
