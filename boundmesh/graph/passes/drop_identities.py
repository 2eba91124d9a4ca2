"""Leave out operators that change nothing."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node


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
    """Whether the node's value is always that of its one operand."""
    if len(node.inputs) != 1 or node.shape != node.input_shapes[0]:
        return False
    # A computed number may be one that rounding made 1 or 0.
    rule, formed = RULES[node.op].is_identity, any(name in graph.formed for name in node.weights)
    return rule is not None and not formed and rule(node, [graph.weights[n] for n in node.weights])
