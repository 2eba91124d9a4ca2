"""Sum and max over axes."""

from __future__ import annotations

from torch import Tensor

from boundmesh.graph.graph import Node
from boundmesh.rules.operator import Operator, Pulled, Weights, monotone, register


def total(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """The sum over `axes`, which stay as 1."""
    return x.sum([axis + 1 for axis in node["axes"]], keepdim=True)


def pull_total(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """The row repeated over the axes."""
    return Pulled((rows.expand(*rows.shape[:2], *node.input_shapes[0]),))


register(Operator("sum", total, monotone(total), pull=pull_total))
