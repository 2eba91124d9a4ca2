"""Removes nodes whose output equals their input."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node


def drop_identities(graph: Graph) -> Graph:
    """Return the graph without identities. Nodes that read one read its operand instead."""
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
    """Return True if the node's value always equals its only operand."""
    if len(node.inputs) != 1 or node.shape != node.input_shapes[0]:
        return False
    # A computed number may be 1 or 0 only because of rounding, so it does not count.
    rule, formed = RULES[node.op].is_identity, any(name in graph.formed for name in node.weights)
    return rule is not None and not formed and rule(node, [graph.weights[n] for n in node.weights])
