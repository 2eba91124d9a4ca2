"""Writes quadratic forms `xᵀPx` as sums of squares, beside the products that a file computes.

With the symmetric part of P equal to `LᵀDL + Δ`, D a diagonal of ±1, and Δ what rounding leaves,

    Σᵢ xᵢ·(Px)ᵢ = Σₖ Dₖ·(Lx)ₖ² + Σᵢ xᵢ·(Δx)ᵢ

The tangents of all positive squares together are a plane below the convex part that touches it, so
the lower bound of a convex form is the best one that is linear. Planes of the products
`xᵢ·(Px)ᵢ` are far looser below, but often tighter above. The operator `either` holds both forms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from boundmesh.graph.constant import Constant, matrix_product, negated, product, sum_of
from boundmesh.graph.graph import Graph
from boundmesh.graph.passes.fold_affine import Weights
from boundmesh.operators.node import Node

LONGEST = 256
"""A form of more variables is left as it is: its squares cost as much as a layer of that size."""
LARGEST = 2.0**200
"""A form with a larger number is left as it is: its roots, in float32, must not overflow."""


def with_squares(graph: Graph) -> Graph:
    """Return the graph in which each quadratic form is `either` its squares or its products."""
    nodes: list[Node] = []
    weights = Weights(graph)
    for node in graph.nodes:
        variable = variable_of(graph, node)
        nodes += [node] if variable is None else beside(graph, weights, node, *variable)
    if len(nodes) == len(graph.nodes):
        return graph
    return weights.held_by(nodes, "a quadratic form")


def variable_of(graph: Graph, node: Node) -> tuple[str, Node] | None:
    """Return x and the layer `Px` for a node `Σᵢ xᵢ·(Px)ᵢ` along the last axis, or None."""
    if node.op != "sum" or tuple(node["axes"]) != (len(node.shape) - 1,):
        return None
    terms = graph[node.inputs[0]]
    if terms.op != "multiply":
        return None
    for value, other in (terms.inputs, terms.inputs[::-1]):
        layer = graph[other]
        short = layer.op == "linear" and len(layer.weights) == 1 and layer.shape[-1] <= LONGEST
        same = short and layer.inputs == (value,) and layer.shape == graph[value].shape
        if same and float(np.abs(graph.weights[layer.weights[0]]).max(initial=0.0)) <= LARGEST:
            return value, layer
    return None


def beside(graph: Graph, weights: Weights, node: Node, value: str, layer: Node) -> list[Node]:
    """Return the nodes of both forms; the last has the name of `node`."""
    name, wide, (square,) = node.name, layer.shape, layer.weights
    matrix = weights[square]
    whole = sum_of(matrix, matrix.moved(np.transpose))
    symmetric = product(whole, 0.5)
    values, vectors = np.linalg.eigh(np.asarray(symmetric.array, np.float64))
    # Any numbers will do here: Δ is computed from those that are taken.
    root = (vectors * np.sqrt(np.abs(values))).T.astype(np.float32)
    signs = np.where(values < 0, -1.0, 1.0).astype(np.float32)
    signed = Constant("", root * signs[:, None])
    left = sum_of(symmetric, negated(matrix_product(Constant("", root.T.copy()), signed)))
    names = [
        weights.enter(f"{name}:{part}", constant)
        for part, constant in (("root", Constant("", root)), ("signs", Constant("", signs)),
                               ("left", left))
    ]  # fmt: skip

    def node_of(
        part: str, op: str, *sources: str, held: tuple[str, ...] = (), **facts: object
    ) -> Node:
        return Node(f"{name}:{part}", op, sources, wide, (wide,) * len(sources), facts, held)

    turned = node_of("turned", "linear", value, held=(names[0],))
    squares = node_of("squares", "power", turned.name, exponent=2.0)
    terms = node_of("terms", "scale", squares.name, held=(names[1],))
    rest = node_of("rest", "linear", value, held=(names[2],))
    others = node_of("others", "multiply", value, rest.name)
    both = node_of("both", "add", terms.name, others.name)
    total = replace(node, name=f"{name}:total", inputs=(both.name,))
    products = replace(node, name=f"{name}:products")
    final = Node(name, "either", (total.name, products.name), node.shape, (node.shape,) * 2)
    return [turned, squares, terms, rest, others, both, total, products, final]
