"""Finds values `z/√max(share·Σz² + ε, c)` in a graph: LayerNorm, RMSNorm and the 2-norm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from boundmesh.graph.formed import EXACT
from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node, Shape
from boundmesh.read.same_value import same_value

ROOM = 1 + 2.0**-20
"""Limits are enlarged by this factor, which is more than their own rounding takes away."""


FLOOR = 2.0**-32
"""A norm counts as at least this number in 1/‖z‖, so that no number of float32 bounds overflows."""


@dataclass(frozen=True)
class Normalized:
    """A product `z·s`, s one factor for each group.

    value    the name of z
    before   the nodes that compute s in the new form; the last one is s, in the shape of z with 1
             for `axes`
    axes     the axes of a group
    share    the factor of Σz²
    largest  no |z·s| is larger
    centred  True if the elements of a group of z add up to zero
    floor    s is computed from a radicand that is raised to this number, if it is not None; the
             number is the weight `least` of the first node
    ceiling  the factor may be larger than s where s reaches this number, or None where it is s
    """

    value: str
    before: tuple[Node, ...]
    axes: tuple[int, ...]
    share: float
    largest: float
    centred: bool
    floor: float | None = None
    ceiling: float | None = None

    @property
    def least(self) -> str:
        """The name of the weight that holds the floor."""
        return f"{self.before[0].name}:weight"


def normalized(graph: Graph, node: Node) -> Normalized | None:
    """Return what a node normalises, where the last axis is one of the group's; None if nothing."""
    if node.op != "multiply" or "limit" in node.attributes:
        return None
    for value, spread in (node.inputs, node.inputs[::-1]):
        radicand = radicand_of(graph, spread)
        group = None if radicand is None else group_of(graph, value, radicand)
        if group is not None and radicand is not None and radicand.short == group.short:
            return normal_of(graph, node, value, radicand, group)
    return None


@dataclass(frozen=True)
class Radicand:
    """The v of a factor `1/√max(v, least)` that is repeated.

    name   the name of v
    least  0 where there is no least radicand
    short  the shape that is repeated
    """

    name: str
    least: float
    short: Shape


@dataclass(frozen=True)
class RadicandSum:
    """The sum that a radicand `share·Σz² + ε` has.

    axes     the axes of the sum
    share    the factor of the sum
    epsilon  ε
    short    the shape of the sum, 1 along the axes
    """

    axes: tuple[int, ...]
    share: float
    epsilon: float
    short: Shape


def radicand_of(graph: Graph, spread: str) -> Radicand | None:
    """Return the radicand of a value that repeats `1/√v`, or `1/max(√v, c)`; None for others."""
    node, inverse = graph[spread], False
    if node.op == "reciprocal":
        node, inverse = graph[node.inputs[0]], True
    if node.op != "expand":
        return None
    short, node = node.input_shapes[0], unshaped(graph, node.inputs[0])
    if not inverse and node.op == "scale" and single(graph, node) == 1:
        node = unshaped(graph, node.inputs[0])
    if node.op == "power" and node["exponent"] == -0.5 and not inverse:
        return raised(graph, node.inputs[0], 0.0, short)
    if not inverse and node.op != "reciprocal":
        return None
    root = node if inverse else unshaped(graph, node.inputs[0])
    floor = 0.0
    if root.op == "at_least":
        limit = single(graph, root)
        if limit is None or not limit > 0 or Fraction(limit) ** 2 != Fraction(limit * limit):
            return None
        floor, root = limit * limit, unshaped(graph, root.inputs[0])
    if root.op == "sqrt" or (root.op == "power" and root["exponent"] == 0.5):
        return raised(graph, root.inputs[0], floor, short)
    return None


def raised(graph: Graph, name: str, floor: float, short: Shape) -> Radicand:
    """Return the radicand that a value raises to a least number, or the value itself."""
    node = unshaped(graph, name)
    limit = single(graph, node) if node.op == "at_least" else None
    if limit is None or limit <= 0:
        return Radicand(name, floor, short)
    return Radicand(node.inputs[0], max(floor, limit), short)


def unshaped(graph: Graph, name: str) -> Node:
    """Return the value before it was reshaped."""
    while graph[name].op == "reshape":
        name = graph[name].inputs[0]
    return graph[name]


def single(graph: Graph, node: Node) -> float | None:
    """Return the number that a scale or a shift has for all elements; None where they differ."""
    array = graph.weights[node.weights[0]]
    formed = graph.formed.get(node.weights[0], EXACT)
    alike = array.size and np.all(array == array.flat[0]) and formed.size is None
    return float(array.flat[0]) if alike else None


def group_of(graph: Graph, value: str, radicand: Radicand) -> RadicandSum | None:
    """Return the group of a radicand `share·Σ value² + ε` with ε ≥ 0, or None where it is none."""
    node, share, least = unshaped(graph, radicand.name), 1.0, 0.0
    if node.op == "shift":
        epsilon = single(graph, node)
        if epsilon is None or not epsilon >= 0:
            return None
        least, node = epsilon, unshaped(graph, node.inputs[0])
    while node.op == "scale":
        factor = single(graph, node)
        if factor is None or not factor > 0:
            return None
        share, node = share * factor, unshaped(graph, node.inputs[0])
    if node.op != "sum":
        return None
    squares, axes = graph[node.inputs[0]], tuple(node["axes"])
    square = squares.op == "power" and squares["exponent"] == 2
    if not square or not same_value(graph, squares.inputs[0], value):
        return None
    shape = graph[value].shape
    return RadicandSum(axes, share, least, node.shape) if len(shape) - 1 in axes else None


def normal_of(
    graph: Graph, node: Node, value: str, radicand: Radicand, group: RadicandSum
) -> Normalized:
    shape, short, name = graph[radicand.name].shape, group.short, radicand.name
    before: list[Node] = []
    floor = ceiling = None
    if max(group.epsilon, radicand.least) < FLOOR**2:
        floor, ceiling = FLOOR**2, 1 / FLOOR
    elif radicand.least > group.epsilon:
        floor = radicand.least
    if floor is not None:
        name = f"{node.name}:radicand"
        held = (f"{name}:weight",)
        at_least = Node(name, "at_least", (radicand.name,), shape, (shape,), {"bend": floor}, held)
        before.append(at_least)
    before.append(
        Node(f"{node.name}:factor", "power", (name,), shape, (shape,), {"exponent": -0.5})
    )
    if shape != short:
        factor = before[-1].name
        before.append(Node(f"{node.name}:short", "reshape", (factor,), short, (shape,)))
    count = math.prod(graph[value].shape[axis] for axis in group.axes)
    centred = is_centred(graph, value, group.axes)
    largest = math.sqrt((count - 1) / count if centred else 1.0) / math.sqrt(group.share) * ROOM
    # Subtracting the mean leaves its rounding behind, which is all that a single element has.
    largest += 2.0**-20 / math.sqrt(group.share)
    return Normalized(
        value, tuple(before), group.axes, group.share, largest, centred, floor, ceiling
    )


def is_centred(graph: Graph, name: str, axes: tuple[int, ...]) -> bool:
    """Return True if a value is another less its exact mean over `axes`."""
    node = graph[name]
    if node.op != "subtract" or graph[node.inputs[1]].op != "expand":
        return False
    short = graph[graph[node.inputs[1]].inputs[0]]
    mean = unshaped(graph, short.name)
    total = unshaped(graph, mean.inputs[0]) if mean.op == "scale" else mean
    if total.op != "sum" or tuple(total["axes"]) != axes or total.shape != short.shape:
        return False
    count = node.size // total.size
    share = single(graph, mean) if mean.op == "scale" else 1.0
    # A quotient stands for the exact number; a number of the file does not.
    exact = count & (count - 1) == 0 or graph.formed.get(mean.weights[0], EXACT).depth > 0
    return exact and share == 1 / count and same_value(graph, total.inputs[0], node.inputs[0])
