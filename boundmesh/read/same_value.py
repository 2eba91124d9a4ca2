"""Finds values of a graph that are computed in the same way from the same values."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.formed import EXACT
from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node

DEPTH = 8
"""Values are compared over so many operators at most."""


def same_value(graph: Graph, name: str, other_name: str, depth: int = DEPTH) -> bool:
    """Return True if both values surely are equal: the same operators do the same to the same."""
    if name == other_name:
        return True
    x, y = graph[name], graph[other_name]
    alike = x.op == y.op and x.shape == y.shape and len(x.inputs) == len(y.inputs) > 0
    if depth == 0 or not alike or len(x.weights) != len(y.weights) or not _alike(x, y):
        return False
    weights = zip(x.weights, y.weights, strict=True)
    return all(_equal_weights(graph, *pair) for pair in weights) and all(
        same_value(graph, *pair, depth - 1) for pair in zip(x.inputs, y.inputs, strict=True)
    )


def _alike(x: Node, y: Node) -> bool:
    return x.attributes.keys() == y.attributes.keys() and all(
        np.array_equal(x[name], y[name]) for name in x.attributes
    )


def _equal_weights(graph: Graph, name: str, other_name: str) -> bool:
    first, second = graph.formed.get(name, EXACT), graph.formed.get(other_name, EXACT)
    alike = first is second or (first.size is None is second.size and first.depth == second.depth)
    return alike and np.array_equal(graph.weights[name], graph.weights[other_name])
