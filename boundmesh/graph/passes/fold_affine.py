"""Folds a scaling or shift of output features into the linear or convolution layer before it."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from boundmesh.graph.constant import Constant, product, sum_of
from boundmesh.graph.formed import EXACT, Formed
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Product


class Weights:
    """The weights of a graph and their roundings, to which new ones can be added."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.arrays, self.formed = dict(graph.weights), dict(graph.formed)

    def __getitem__(self, name: str) -> Constant:
        return Constant(name, self.arrays[name], self.formed.get(name, EXACT))

    def enter(self, name: str, constant: Constant) -> str:
        """Store the constant under `name`, and return that name."""
        self.arrays[name] = np.ascontiguousarray(constant.array)
        self.formed.pop(name, None)
        if constant.formed.depth:
            size = constant.formed.size
            whole = None if size is None else np.ascontiguousarray(size)
            self.formed[name] = Formed(whole, constant.formed.depth)
        return name

    def held_by(self, nodes: Iterable[Node], *unbounded: str) -> Graph:
        """Return the graph with other nodes and these weights.

        `unbounded` names operations of the new nodes whose rounding has no known bound.
        """
        return replace(
            self._graph,
            nodes=tuple(nodes),
            weights=self.arrays,
            formed=self.formed,
            unbounded=self._graph.unbounded.union(unbounded),
        )


def fold_affine(graph: Graph) -> Graph:
    """Rewrite `(W x + b)·c → (c·W) x + b·c` and `(W x + b) + c → W x + (b + c)`.

    Here c has one number per output feature. A layer is folded only if no other node reads it. A
    weight in a memory-mapped file is not scaled, since that would copy it. New weights are computed
    in float64 and carry a bound on their rounding.
    """
    nodes: dict[str, Node] = {}
    weights = Weights(graph)
    for node in graph.nodes:
        layer = nodes.get(node.inputs[0]) if constant_of(node) else None
        if layer is not None and product_of(layer) and only_reader(graph, layer, node):
            folded = fold(weights, layer, node)
            if folded is not None:
                del nodes[layer.name]
                node = folded
        nodes[node.name] = node
    return weights.held_by(nodes.values())


def constant_of(node: Node) -> str | None:
    """Return "factor" or "offset" for a node that multiplies or adds a constant, else None."""
    return None if node.is_input else RULES[node.op].constant


def product_of(node: Node) -> Product | None:
    """Return how the node multiplies by its first weight, or None if it does not."""
    return None if node.is_input else RULES[node.op].product


def only_reader(graph: Graph, layer: Node, node: Node) -> bool:
    return graph.consumers[layer.name] == (node.name,) and layer.name != graph.output


def fold(weights: Weights, layer: Node, node: Node) -> Node | None:
    """Return one layer that replaces the layer and the scale or shift, or None if there is none.

    Its new arrays are added to `weights`.
    """
    held = weights[node.weights[0]]
    constant = per_feature(held, layer)
    matrix, *bias = (weights[name] for name in layer.weights)
    if constant is None or (constant_of(node) == "factor" and not scalable(layer, matrix.array)):
        return None
    names, layer_of = list(layer.weights), product_of(layer)
    assert layer_of is not None
    if constant_of(node) == "factor":
        feature = layer_of.output_dim
        shape = [-1 if dim == feature else 1 for dim in range(matrix.array.ndim)]
        factor = constant.moved(lambda array: array.reshape(shape))
        names[0] = weights.enter(f"{node.name}:weight", product(matrix, factor))
        if bias:
            names[1] = weights.enter(f"{node.name}:bias", product(bias[0], constant))
    elif bias:
        names[1] = weights.enter(f"{node.name}:bias", sum_of(bias[0], constant))
    elif held.shape == constant.shape:
        names.append(node.weights[0])
    else:
        names.append(weights.enter(f"{node.name}:bias", constant))
    return replace(layer, name=node.name, weights=tuple(names))


def per_feature(constant: Constant, layer: Node) -> Constant | None:
    """Return the constant as one number per output feature, or None if it varies within one."""
    layer_of = product_of(layer)
    assert layer_of is not None
    axis = layer_of.output_axis(layer)
    rank = len(layer.shape) - constant.array.ndim
    full = (1,) * rank + constant.shape
    if any(length != 1 for place, length in enumerate(full) if place != axis):
        return None
    features = (layer.shape[axis],)
    return constant.moved(lambda array: np.broadcast_to(array.ravel(), features))


def scalable(layer: Node, matrix: np.ndarray) -> bool:
    layer_of = product_of(layer)
    if layer_of is not None and layer_of.output_dim and layer["groups"] != 1:
        return False
    return not memory_mapped(matrix)


def memory_mapped(array: np.ndarray | None) -> bool:
    """Return True if the array is a view of a memory-mapped file."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
