"""Make one reshape, or one transpose, of several in a row."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.graph.graph import Graph, Node


def merge_reshapes(graph: Graph) -> Graph:
    """The graph with reshapes of reshapes, and transposes of transposes, read from the first.

    A transpose that moves only axes of length 1 keeps the row-major order: it is a reshape.
    """
    made: dict[str, Node] = {}
    for node in graph.nodes:
        if node.op == "transpose" and keeps_order(node):
            node = replace(node, op="reshape", attributes={})
        if node.op in ("reshape", "transpose"):
            before = made[node.inputs[0]]
            if before.op == node.op:
                node = merged(before, node)
        made[node.name] = node
    return replace(graph, nodes=tuple(made.values()))


def keeps_order(node: Node) -> bool:
    long = [axis for axis in node["perm"] if node.input_shapes[0][axis] != 1]
    return long == sorted(long)


def merged(first: Node, second: Node) -> Node:
    """`second` applied to what `first` is applied to."""
    attributes = dict(second.attributes)
    if second.op == "transpose":
        attributes["perm"] = tuple(first["perm"][axis] for axis in second["perm"])
    return replace(
        second, inputs=first.inputs, input_shapes=first.input_shapes, attributes=attributes
    )
