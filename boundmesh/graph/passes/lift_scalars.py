"""Give every value of shape `[]` the shape `[1]`: rows and neurons are counted along some axis."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.errors import UnsupportedError
from boundmesh.graph.check import result_shape
from boundmesh.graph.graph import Graph, Node, Shape

# Operators whose result has the shape that the node declares.
DECLARED = frozenset(("reshape", "expand"))


def lift_scalars(graph: Graph) -> Graph:
    """The graph with `[1]` for each `[]`; the ports keep the shapes that the file declares."""
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
    """The node over operands of shape `[1]`, and, where its own result still is `[]`, a reshape of
    it, which takes over the node's name."""
    shapes = tuple(shape or (1,) for shape in node.input_shapes)
    if node.op == "input":
        return [replace(node, shape=(1,))]
    if node.op == "transpose" and not node.input_shapes[0]:
        node = replace(node, op="reshape", attributes={})
    declared: Shape = node.shape or (1,)
    if node.op in DECLARED:
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
    outer = Node(node.name, "reshape", (inner.name,), declared, (inner.shape,))
    return [inner, outer]


def free(graph: Graph, name: str) -> str:
    """The name, longer as long as a node has it."""
    while name in graph.by_name:
        name += "'"
    return name
