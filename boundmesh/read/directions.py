"""Gives products `x·(1/w)` the limit that they have where w is no less than a norm of x.

PyTorch's `normalize` and `cosine_similarity` divide by `max(‖x‖, ε)`, and others by `‖x‖ + ε`. No
element of such a quotient is beyond ±1, while the planes of a product reach `|x|/ε`. Where the norm
itself may be as small as zero, the reciprocal is taken of `max(w, FLOOR)`, and the product has a
ceiling (`operators/multiply.py`): what lies beyond it is bounded by the limit alone.

Norms of exponent 2 along the last axis keep their common factor beside their limit
(`common_factor.py`); this file finds the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boundmesh.graph.constant import Constant
from boundmesh.graph.graph import Graph
from boundmesh.graph.passes.drop_dead import drop_dead
from boundmesh.graph.passes.fold_affine import Weights
from boundmesh.operators.node import Node, Shape
from boundmesh.read.normalized import FLOOR, ROOM, single, unshaped
from boundmesh.read.same_value import same_value

DEPTH = 8
"""A norm is sought over so many operators at most."""


@dataclass(frozen=True)
class AboveNorm:
    """A value that is at least `(share·‖x‖)^degree`, and at least a number.

    short  the shape of the norm: that of x, with 1 for the axes of a group
    """

    share: float
    degree: float
    least: float
    short: Shape


def limit_directions(graph: Graph) -> Graph:
    """Return the graph with limits for quotients by a norm; its values are the same, but at zero.

    Where the graph as read computes 0/0, the new one gives zero.
    """
    nodes: list[Node] = []
    weights = Weights(graph)
    for node in graph.nodes:
        parts = quotient(graph, node)
        nodes += [node] if parts is None else limited(graph, weights, node, *parts)
    if len(nodes) == len(graph.nodes):
        return graph
    return drop_dead(weights.held_by(nodes, "a quotient by a norm"))


def quotient(graph: Graph, node: Node) -> tuple[str, str, AboveNorm] | None:
    """Return x and w for a product `x·(1/w)` with w ≥ share·‖x‖, and what is known of w."""
    if node.op != "multiply" or "limit" in node.attributes:
        return None
    for value, other in (node.inputs, node.inputs[::-1]):
        name, short = divisor(graph, other)
        above = None if name is None else above_norm(graph, name, value)
        if above is not None and above.degree == 1 and above.short == short:
            assert name is not None
            return value, name, above
    return None


def divisor(graph: Graph, name: str) -> tuple[str | None, Shape]:
    """Return w of a value that repeats `1/w`, or the reciprocal of repeated w; and w's shape there.

    The name is None where the value is neither.
    """
    node, short, inverse = graph[name], graph[name].shape, False
    for _ in range(DEPTH):
        if node.op == "expand" and short == graph[name].shape:
            short = node.input_shapes[0]
        elif node.op == "reciprocal" and not inverse:
            inverse = True
        elif node.op != "reshape":
            break
        node = graph[node.inputs[0]]
    return (node.name if inverse else None), short


def above_norm(graph: Graph, name: str, value: str, depth: int = DEPTH) -> AboveNorm | None:
    """Return by which norm of a value another value is bounded from below; None if by none."""
    node = unshaped(graph, name)
    if node.is_input or not depth:
        return None
    if node.op in ("sum", "max"):
        return norm(graph, node, value)
    if node.op not in ("shift", "at_least", "relu", "scale", "sqrt", "power"):
        return None
    inner = above_norm(graph, node.inputs[0], value, depth - 1)
    if inner is None or node.op == "relu":
        return inner
    if node.op in ("sqrt", "power"):
        exponent = 0.5 if node.op == "sqrt" else float(node["exponent"])
        if exponent <= 0:
            return None
        return replace(inner, degree=inner.degree * exponent, least=inner.least**exponent)
    number = single(graph, node)
    if number is None or number < 0 or (node.op == "scale" and number == 0):
        return None
    if node.op == "scale":
        share = inner.share * number ** (1 / inner.degree)
        return replace(inner, share=share, least=inner.least * number)
    least = inner.least + number if node.op == "shift" else max(inner.least, number)
    return replace(inner, least=least)


def norm(graph: Graph, node: Node, value: str) -> AboveNorm | None:
    """Return the norm that a sum of powers of |x|, or the largest |x|, is."""
    shape = graph[value].shape
    if node.op == "sum":
        terms, axes = graph[node.inputs[0]], tuple(node["axes"])
        degree = degree_of(graph, terms, value)
        return None if degree is None else AboveNorm(1.0, degree, 0.0, short_of(shape, axes))
    # The translation of a maximum moves its axes to the end and joins them.
    sizes, order = unshaped(graph, node.inputs[0]), tuple(range(len(shape)))
    if sizes.op == "transpose":
        sizes, order = unshaped(graph, sizes.inputs[0]), tuple(sizes["perm"])
    kept = len(node.input_shapes[0]) - 1
    short = short_of(shape, order[kept:])
    last = node["axis"] == kept and order[:kept] == tuple(sorted(order[:kept]))
    whole = last and math.prod(short) == node.size and sizes.shape == shape
    return (
        AboveNorm(1.0, 1.0, 0.0, short) if whole and degree_of(graph, sizes, value) == 1 else None
    )


def short_of(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else length for axis, length in enumerate(shape))


def degree_of(graph: Graph, node: Node, value: str) -> float | None:
    """Return p where a node computes |x|^p of a value x, and None for others."""
    exponent = 1.0
    if node.op == "power":
        exponent = float(node["exponent"])
        if exponent >= 1 and exponent % 2 == 0 and same_value(graph, node.inputs[0], value):
            return exponent
        node = graph[node.inputs[0]]
    absolute = node.op == "abs" and same_value(graph, node.inputs[0], value)
    return exponent if absolute and exponent > 0 else None


def limited(
    graph: Graph, weights: Weights, node: Node, value: str, divisor: str, above: AboveNorm
) -> list[Node]:
    """Return nodes of `x·(1/w)` with its limit, and with a ceiling where w may be near zero."""
    nodes: list[Node] = []
    attributes: dict[str, Any] = {"limit": ROOM / above.share}
    shape, last = graph[divisor].shape, divisor
    if above.least < FLOOR:
        last = f"{node.name}:direction:divisor"
        held = weights.enter(f"{last}:weight", Constant("", np.asarray(FLOOR)))
        raised = Node(last, "at_least", (divisor,), shape, (shape,), {"bend": FLOOR}, (held,))
        nodes.append(raised)
        attributes["ceiling"] = 1 / FLOOR
    for op, result in (("reciprocal", shape), ("reshape", above.short), ("expand", node.shape)):
        if op == "reciprocal" or result != nodes[-1].shape:
            before = nodes[-1].shape if nodes else shape
            nodes.append(Node(f"{node.name}:direction:{op}", op, (last,), result, (before,)))
            last = nodes[-1].name
    product = Node(
        node.name, "multiply", (value, last), node.shape, (node.shape, node.shape), attributes
    )
    return [*nodes, product]
