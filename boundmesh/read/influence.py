"""Finds inputs that lack a bound and need none, since nothing in the property depends on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.property import Box, Case, Property

FEW = 64
# Their forward rules only move numbers, so they move marks as well.
MOVES = frozenset(("reshape", "slice", "gather", "concat", "transpose", "expand"))


def without_idle_inputs(graph: Graph, property: Property) -> Property:
    """Fix inputs that lack a bound and on which neither outputs in clauses nor clauses depend.

    Their value does not matter: it becomes 0, or the bound nearest to 0.
    """
    if not property.unbounded or not property.cases:
        return property
    atoms = [a for case in property.cases for clause in case.clauses for a in clause.every_atom]
    named = {place for atom in atoms for place, _ in atom.inputs}
    used = sorted({place for atom in atoms for place, _ in atom.outputs})
    idle = [place for place in property.unbounded if place not in named]
    if reached(graph, idle)[used].any():
        # Each input is followed by itself, unless that takes long.
        few = idle if len(idle) <= FEW else []
        idle = [place for place in few if not reached(graph, [place])[used].any()]
    if not idle:
        return property
    cases = []
    for case in property.cases:
        box = case.region
        assert isinstance(box, Box)
        lower, upper = box.lower.copy(), box.upper.copy()
        lower[idle] = upper[idle] = np.clip(0.0, lower[idle], upper[idle])
        exact_lower = {i: e for i, e in box.exact_lower.items() if i not in idle}
        exact_upper = {i: e for i, e in box.exact_upper.items() if i not in idle}
        cases.append(Case(Box(lower, upper, exact_lower, exact_upper), case.clauses))
    rest = {place: words for place, words in property.unbounded.items() if place not in idle}
    return replace(property, cases=tuple(cases), unbounded=rest)


def reached(graph: Graph, places: list[int]) -> np.ndarray:
    """Return the mask of flat outputs that may depend on one of these flat inputs."""
    marks: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.is_input:
            mark = torch.zeros(node.size)
            mark[places] = 1.0
            marks[node.name] = mark.reshape(1, *node.shape)
        else:
            marks[node.name] = passed(node, graph, [marks[name] for name in node.inputs])
    result: np.ndarray = marks[graph.output].reshape(-1).numpy() > 0
    return result


def passed(node: Node, graph: Graph, marks: list[Tensor]) -> Tensor:
    """Return which neurons of a node may depend on marked neurons of its inputs."""
    if node.op in MOVES:
        return RULES[node.op].forward(node, [], *marks)
    # A weight that was computed may be zero only as it was rounded.
    if node.op == "linear" and node.weights[0] not in graph.formed:
        weight = (tensor(graph.weights[node.weights[0]]) != 0).float()
        return ((marks[0] @ weight.mT) > 0).float()
    if all(shape == node.shape for shape in node.input_shapes) and node.op in ELEMENTWISE:
        return torch.stack(marks).amax(0)
    marked = any(bool(mark.any()) for mark in marks)
    return torch.full((1, *node.shape), float(marked))


ELEMENTWISE = frozenset(
    (
        *("scale", "shift", "add", "subtract", "multiply", "relu", "leaky_relu", "abs", "sigmoid"),
        *("tanh", "exp", "at_least", "at_most", "power", "floor", "sin", "cos"),
    )
)
"""Operators whose results depend on the neuron at the same place alone."""
