"""Removes nodes that the output does not depend on."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.graph.graph import Graph


def drop_dead(graph: Graph) -> Graph:
    """Return the graph without nodes that the output does not need, and without their weights."""
    wanted = {graph.output, graph.input}
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
    nodes = tuple(node for node in graph.nodes if node.name in wanted)
    held = {name for node in nodes for name in node.weights}
    weights = {name: array for name, array in graph.weights.items() if name in held}
    formed = {name: how for name, how in graph.formed.items() if name in held}
    return replace(graph, nodes=nodes, weights=weights, formed=formed)
