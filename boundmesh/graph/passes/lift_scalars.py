"""Gives every value of shape `[]` the shape `[1]`, because neurons are counted along an axis."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.errors import UnsupportedError
from boundmesh.graph.check import result_shape
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.reshape import as_reshape, reshape_node


def lift_scalars(graph: Graph) -> Graph:
    """Return the graph with the shape `[1]` for each `[]`. The ports keep their declared shapes."""
    if all(node.shape for node in graph.nodes):
        return graph
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.shape and all(node.input_shapes):
            nodes.append(node)
        else:
            nodes += lifted(graph, node)
    return replace(graph, nodes=tuple(nodes))


def lifted(graph: Graph, node: Node) -> list[Node]:
    """Return the nodes that replace a node with an operand or a result of shape `[]`.

    The operands get the shape `[1]`. If the result then does not have the shape that is wanted, a
    reshape follows and takes over the name of the node.
    """
    shapes = tuple(shape or (1,) for shape in node.input_shapes)
    if node.is_input:
        return [replace(node, shape=(1,))]
    keeps_order = RULES[node.op].keeps_order
    if keeps_order is not None and not node.input_shapes[0]:
        node = as_reshape(node)
    declared: Shape = node.shape or (1,)
    if RULES[node.op].declares_shape:
        return [replace(node, shape=declared, input_shapes=shapes)]
    moved = replace(node, input_shapes=shapes)
    try:
        moved = replace(moved, shape=result_shape(moved, graph.weights))
    except (RuntimeError, IndexError) as error:
        raise UnsupportedError(
            f"operator '{node.op}' (node '{node.name}') takes no value without axes: {error}"
        ) from error
    if moved.shape == declared:
        return [moved]
    inner = replace(moved, name=free(graph, f"{node.name}:scalar"))
    outer = reshape_node(node.name, inner.name, declared, inner.shape)
    return [inner, outer]


def free(graph: Graph, name: str) -> str:
    """Return the name, extended until no node has it."""
    while name in graph.by_name:
        name += "'"
    return name
