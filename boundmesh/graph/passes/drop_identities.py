"""Leave out operators that change nothing."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.graph.graph import Graph, Node

# Operators whose result has the shape of their operand only where they leave it as it is.
SHAPED = frozenset(("reshape", "expand", "slice", "pad"))


def drop_identities(graph: Graph) -> Graph:
    """The graph without identities; what read one reads its operand instead."""
    instead: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        if is_identity(graph, node):
            instead[node.name] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs))
    output = instead.get(graph.output, graph.output)
    return replace(graph, nodes=tuple(nodes), output=output)


def is_identity(graph: Graph, node: Node) -> bool:
    if len(node.inputs) != 1 or node.shape != node.input_shapes[0]:
        return False
    if node.op in SHAPED or node.op == "concat":
        return True
    if node.op == "transpose":
        return node["perm"] == tuple(range(len(node.shape)))
    if node.op == "gather":
        return node["index"] == tuple(range(node.shape[node["axis"]]))
    # A computed number may be one that rounding made 1 or 0.
    if node.op not in ("scale", "shift") or node.weights[0] in graph.formed:
        return False
    constant = graph.weights[node.weights[0]]
    return bool((constant == 1).all()) if node.op == "scale" else not constant.any()
