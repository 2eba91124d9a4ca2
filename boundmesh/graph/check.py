"""Checks that a Graph is well formed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from boundmesh.errors import UnsupportedError
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node, Shape


def check(graph: Graph) -> None:
    """Raise UnsupportedError for an operator without rules, and ValueError for a malformed graph.

    A well-formed graph is in topological order. Its names exist and are unique. Every node has the
    shape that the forward rule of its operator returns.
    """
    seen: dict[str, Node] = {}
    for node in graph.nodes:
        if node.name in seen:
            raise ValueError(f"two nodes are named '{node.name}'")
        if not node.is_input:
            check_node(graph, node, seen)
        elif node.name != graph.input:
            raise ValueError(f"node '{node.name}' is a second input beside '{graph.input}'")
        seen[node.name] = node
    for name in (graph.input, graph.output):
        if name not in seen:
            raise ValueError(f"the graph has no node '{name}'")


def check_node(graph: Graph, node: Node, seen: Mapping[str, Node]) -> None:
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
    given = result_shape(node, graph.weights)
    if given != node.shape:
        raise ValueError(f"{where} gives {given} and declares {node.shape}")


def result_shape(node: Node, weights: Mapping[str, np.ndarray]) -> Shape:
    """Return the shape of the node's value, by applying its forward rule to 0 domains.

    That reads no weight and computes nothing. Meta tensors would give the shape as well, but their
    first use makes torch import modules for about a second.
    """
    own_weights = [tensor(weights[name]) for name in node.weights]
    dtype = own_weights[0].dtype if own_weights else torch.float32
    operands = [torch.empty((0, *shape), dtype=dtype) for shape in node.input_shapes]
    with torch.no_grad():
        result = RULES[node.op].forward(
            node, [weight.to(dtype) for weight in own_weights], *operands
        )
    return tuple(result.shape[1:])
