"""Merges consecutive reshapes into one, and consecutive transposes into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.reshape import as_reshape


def merge_reshapes(graph: Graph) -> Graph:
    """Return the graph in which no reshape reads a reshape, and no transpose reads a transpose.

    A transpose that moves only axes of length 1 keeps the row-major order, so it becomes a reshape.
    """
    made: dict[str, Node] = {}
    for node in graph.nodes:
        if not node.is_input:
            keeps_order = RULES[node.op].keeps_order
            if keeps_order is not None and keeps_order(node):
                node = as_reshape(node)
            node = merged_with_operand(made, node)
        made[node.name] = node
    return replace(graph, nodes=tuple(made.values()))


def merged_with_operand(made: Mapping[str, Node], node: Node) -> Node:
    """Return one node that does the work of `node` and its operand, or `node` if none can."""
    merged = RULES[node.op].merged
    before = made[node.inputs[0]] if merged is not None else node
    if merged is None or before.op != node.op:
        return node
    attributes = merged(before, node)
    return replace(
        node, inputs=before.inputs, input_shapes=before.input_shapes, attributes=attributes
    )
