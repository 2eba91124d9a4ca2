"""Fold a scaling or shift of output features into the linear or convolution layer before it."""

from __future__ import annotations

import mmap
from dataclasses import replace

import numpy as np

from boundmesh.graph.graph import Graph, Node

LAYERS = frozenset(("linear", "conv", "conv_transpose"))


def fold_affine(graph: Graph) -> Graph:
    """`(W x + b)·c → (c·W) x + b·c` and `(W x + b) + c → W x + (b + c)`, c one number per feature.

    Only where nothing else reads the layer. A weight in a memory-mapped file is not scaled, since
    that would copy it.
    """
    nodes: dict[str, Node] = {}
    weights = dict(graph.weights)
    for node in graph.nodes:
        layer = nodes.get(node.inputs[0]) if node.op in ("scale", "shift") else None
        if layer is not None and layer.op in LAYERS and only_reader(graph, layer, node):
            folded = fold(weights, layer, node)
            if folded is not None:
                del nodes[layer.name]
                node = folded
        nodes[node.name] = node
    return replace(graph, nodes=tuple(nodes.values()), weights=weights)


def only_reader(graph: Graph, layer: Node, node: Node) -> bool:
    return graph.consumers[layer.name] == (node.name,) and layer.name != graph.output


def fold(weights: dict[str, np.ndarray], layer: Node, node: Node) -> Node | None:
    """The layer and the scale or shift as one layer; its new arrays enter `weights`.

    They are computed in the wider type and kept in the layer's.
    """
    constant = per_feature(weights[node.weights[0]], layer)
    matrix, *bias = (weights[name] for name in layer.weights)
    if constant is None or (node.op == "scale" and not scalable(layer, matrix)):
        return None
    names, dtype = list(layer.weights), matrix.dtype
    if node.op == "scale":
        feature = 1 if layer.op == "conv_transpose" else 0
        shape = [-1 if dim == feature else 1 for dim in range(matrix.ndim)]
        names[0] = enter(
            weights, f"{node.name}:weight", (matrix * constant.reshape(shape)).astype(dtype)
        )
        if bias:
            names[1] = enter(weights, f"{node.name}:bias", (bias[0] * constant).astype(dtype))
    elif bias:
        names[1] = enter(weights, f"{node.name}:bias", (bias[0] + constant).astype(dtype))
    elif weights[node.weights[0]].shape == constant.shape:
        names.append(node.weights[0])
    else:
        names.append(enter(weights, f"{node.name}:bias", constant))
    return replace(layer, name=node.name, weights=tuple(names))


def per_feature(constant: np.ndarray, layer: Node) -> np.ndarray | None:
    """The constant as one number per output feature, or None where it differs within one."""
    axis = len(layer.shape) - 1 if layer.op == "linear" else 1
    full = constant.reshape((1,) * (len(layer.shape) - constant.ndim) + constant.shape)
    if any(length != 1 for place, length in enumerate(full.shape) if place != axis):
        return None
    return np.broadcast_to(full.ravel(), (layer.shape[axis],))


def scalable(layer: Node, matrix: np.ndarray) -> bool:
    if layer.op == "conv_transpose" and layer["groups"] != 1:
        return False
    return not memory_mapped(matrix)


def memory_mapped(array: np.ndarray | None) -> bool:
    """Whether the array is a view of a mapped file."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


def enter(weights: dict[str, np.ndarray], name: str, array: np.ndarray) -> str:
    weights[name] = np.ascontiguousarray(array)
    return name
