"""Replaces operators that have a longer form by the simpler operators of that form."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node


def spell_out(graph: Graph) -> Graph:
    """Return the graph with the `longer` form of each operator that has one.

    The last node of a form has the name of the node that it replaces.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        longer = None if node.is_input else RULES[node.op].longer
        nodes += [node] if longer is None else longer(node)
    return graph if len(nodes) == len(graph.nodes) else replace(graph, nodes=tuple(nodes))
