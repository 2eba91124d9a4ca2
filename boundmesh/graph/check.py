"""Is a Graph well formed?"""

from __future__ import annotations

import torch

from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph, Node
from boundmesh.rules import RULES


def check(graph: Graph) -> None:
    """Raises UnsupportedError for an operator without rules, ValueError for a malformed graph.

    A well-formed graph is in topological order, its weights and names exist, and every node has
    the shape that its operator's forward rule gives.
    """
    seen: dict[str, Node] = {}
    for node in graph.nodes:
        if node.name in seen:
            raise ValueError(f"two nodes are named '{node.name}'")
        if node.op == "input":
            if node.name != graph.input:
                raise ValueError(f"node '{node.name}' is a second input beside '{graph.input}'")
        else:
            check_node(graph, node, seen)
        seen[node.name] = node
    for name in (graph.input, graph.output):
        if name not in seen:
            raise ValueError(f"the graph has no node '{name}'")


def check_node(graph: Graph, node: Node, seen: dict[str, Node]) -> None:
    where = f"operator '{node.op}' (node '{node.name}')"
    if node.op not in RULES:
        raise UnsupportedError(f"{where} has no rules; supported: {', '.join(sorted(RULES))}")
    for name, shape in zip(node.inputs, node.input_shapes, strict=True):
        if name not in seen:
            raise ValueError(f"{where} reads '{name}' before it is made")
        if seen[name].shape != shape:
            raise ValueError(f"{where} takes '{name}' as {shape}, which is {seen[name].shape}")
    for name in node.weights:
        if name not in graph.weights:
            raise ValueError(f"{where} needs the weight '{name}', which is not there")
    weights = [torch.empty(graph.weights[name].shape, device="meta") for name in node.weights]
    values = [torch.empty((1, *shape), device="meta") for shape in node.input_shapes]
    with torch.no_grad():
        shape = tuple(RULES[node.op].forward(node, weights, *values).shape[1:])
    if shape != node.shape:
        raise ValueError(f"{where} gives {shape} and declares {node.shape}")
