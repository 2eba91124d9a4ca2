"""Rewrites normalised values so that bounds keep the factor that their elements have in common.

A normalisation is `y = z·s` with one factor `s = 1/√(share·Σz² + ε)` for all elements of a group.
Three rewrites make its bounds tighter, and do not change what it computes in exact arithmetic:

* The root and the reciprocal become one power, so that s has one line and not the line of a line.
* A linear layer moves in front of the product: `W(c·y + d) = (W(c·z))·s + W·d`. A bound of
  `⟨w, z⟩` from the layers before is far tighter than the sum of bounds of its terms, and only that
  bound meets the planes of the product.
* The products get a limit. As `Σy² ≤ 1/share`, no output of the layer exceeds `‖w‖/√share` (the
  inequality of Cauchy and Schwarz), and where z is centred, the mean may be taken off w.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from boundmesh.graph.constant import Constant, matrix_product, product, sum_of
from boundmesh.graph.formed import size_of
from boundmesh.graph.graph import Graph
from boundmesh.graph.passes.drop_dead import drop_dead
from boundmesh.graph.passes.fold_affine import Weights
from boundmesh.operators.node import Node, Shape
from boundmesh.read.normalized import ROOM, Normalized, normalized
from boundmesh.read.shapes import stands_in


def keep_common_factors(graph: Graph) -> Graph:
    """Return the graph with the rewrites of this file; it computes the same in exact arithmetic."""
    normals: dict[str, Normalized] = {}
    nodes: list[Node] = []
    weights = Weights(graph)
    for node in graph.nodes:
        normal = normalized(graph, node)
        if normal is not None:
            normals[node.name] = normal
            nodes += normal.before
            if normal.floor is not None:
                weights.enter(normal.least, Constant("", np.asarray(normal.floor)))
            nodes += scaled_by(node.name, normal.value, normal, node.shape, normal.largest)
            continue
        moved = in_front(graph, weights, as_layer(weights, node), normals)
        nodes += [node] if moved is None else moved
    if not normals:
        return graph
    return drop_dead(weights.held_by(nodes, "a product of a common factor"))


def scaled_by(
    name: str,
    value: str,
    normal: Normalized,
    shape: Shape,
    limit: float | np.ndarray,
    factor: Node | None = None,
) -> list[Node]:
    """Return nodes of the product `value·factor`, none of whose elements exceeds its limit.

    The factor is that of the normalisation, or has another shape.
    """
    factor = factor or normal.before[-1]
    spread = Node(f"{name}:spread", "expand", (factor.name,), shape, (factor.shape,))
    attributes: dict[str, Any] = {"limit": limit if isinstance(limit, float) else np.array(limit)}
    if normal.ceiling is not None:
        attributes["ceiling"] = normal.ceiling
    return [spread, Node(name, "multiply", (value, spread.name), shape, (shape, shape), attributes)]


def as_layer(weights: Weights, node: Node) -> Node:
    """Return a sum along the last axis as the layer of one output that it is; else the node."""
    if node.op != "sum" or tuple(node["axes"]) != (len(node.shape) - 1,):
        return node
    ones = Constant("", np.ones((1, node.input_shapes[0][-1]), np.float32))
    held = (weights.enter(f"{node.name}:weight", ones),)
    return replace(node, op="linear", attributes={}, weights=held)


def in_front(
    graph: Graph, weights: Weights, layer: Node, normals: dict[str, Normalized]
) -> list[Node] | None:
    """Return nodes that replace a layer of a normalised value, or None where none can."""
    if layer.op != "linear":
        return None
    way = way_to(graph, weights, layer, normals)
    if way is None:
        return None
    normal = normals[way[-1].inputs[0]]
    short, before = (*layer.shape[:-1], 1), (*graph[normal.value].shape[:-1], 1)
    narrow = normal.axes == (len(before) - 1,)
    if before != short and not narrow:
        return None
    name, value, matrix = layer.name, normal.value, weights[layer.weights[0]]
    offset = weights[layer.weights[1]] if len(layer.weights) > 1 else None
    # A weight without numbers, of a plan, may not fit into memory: one column stands for it.
    columns = slice(1) if stands_in(matrix.array) else slice(None)
    matrix = matrix.moved(lambda array: array[:, columns])
    for node in way[1:]:
        if node.op in ("scale", "shift"):
            factors = per_element(weights[node.weights[0]], layer.input_shapes[0][-1])
            assert factors is not None
            factors = factors.moved(lambda array: array[:, columns])
            if node.op == "scale":
                matrix = product(matrix, factors)
            else:
                moved = matrix_product(factors, matrix.moved(np.transpose))
                moved = moved.moved(np.ravel)
                offset = moved if offset is None else sum_of(offset, moved)
    nodes: list[Node] = []
    for place, node in enumerate(way[:0:-1]):
        if node.op in ("scale", "reshape"):
            nodes.append(replace(node, name=f"{name}:{node.op}:{place}", inputs=(value,)))
            value = nodes[-1].name
    inner = replace(layer, name=f"{name}:product", inputs=(value,), weights=layer.weights[:1])
    nodes.append(inner)
    factor, limit = normal.before[-1], largest_of(normal, matrix, narrow)
    if before != short:
        factor = Node(f"{name}:factor", "reshape", (factor.name,), short, (before,))
        nodes.append(factor)
    result = name if offset is None else f"{name}:scaled"
    limits = np.broadcast_to(limit, layer.shape)
    nodes += scaled_by(result, inner.name, normal, layer.shape, limits, factor)
    if offset is not None:
        written = not any(node.op == "shift" for node in way)
        held = layer.weights[1] if written else weights.enter(f"{name}:offset", offset)
        nodes.append(Node(name, "shift", (result,), layer.shape, (layer.shape,), {}, (held,)))
    return nodes


def way_to(
    graph: Graph, weights: Weights, layer: Node, normals: dict[str, Normalized]
) -> list[Node] | None:
    """Return a layer and the nodes before it, back to the reader of a normalised value.

    Each of them must scale or shift elements of the last axis alike in all groups, or leave that
    axis as it is. Returns None where one does not, and where there would be more products than
    before: where another node reads the value, or the layer has more outputs than inputs. Rows from
    far behind such a layer would meet more planes, each with a loss of its own.
    """
    way = [layer]
    if layer.shape[-1] > layer.input_shapes[0][-1]:
        return None
    while len(graph.consumers[way[-1].inputs[0]]) == 1:
        if way[-1].inputs[0] in normals:
            return way
        before = graph[way[-1].inputs[0]]
        if before.op in ("scale", "shift"):
            if per_element(weights[before.weights[0]], before.shape[-1]) is None:
                return None
        elif before.op == "reshape":
            if before.shape[-1] != before.input_shapes[0][-1]:
                return None
        elif before.op != "limited":
            return None
        way.append(before)
    return None


def per_element(constant: Constant, length: int) -> Constant | None:
    """Return a constant as one number for each element of the last axis, `[1, n]`, or None."""
    array = constant.array
    if array.size == 1 or (array.ndim and array.shape[-1] == array.size == length):
        return constant.moved(lambda values: np.broadcast_to(values.reshape(1, -1), (1, length)))
    return None


def largest_of(normal: Normalized, matrix: Constant, narrow: bool) -> np.ndarray:
    """Return the largest |output| of every row of the matrix, by the inequality of Cauchy-Schwarz.

    With `Σ(z·s)² ≤ 1/share`, it is ‖w‖/√share; of centred z, the mean of w may be taken off.
    """
    rows = np.asarray(matrix.array, np.float64)
    off = 2.0**-40 * np.abs(size_of(rows, matrix.formed)).sum(-1) + 0 * rows.sum(-1)
    if normal.centred and narrow:
        rows = rows - rows.mean(-1, keepdims=True)
    found: np.ndarray = (np.linalg.norm(rows, axis=-1) * ROOM + off) / math.sqrt(normal.share)
    return found
