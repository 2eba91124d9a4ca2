"""Computes a Lipschitz constant from the norms of single layers, with rounding counted."""

from __future__ import annotations

import math

import numpy as np
import torch

from boundmesh.graph.forward import tensors
from boundmesh.graph.graph import Graph
from boundmesh.jacobian.backward_graph import Slopes
from boundmesh.jacobian.norms import UP, row_sum, spectral
from boundmesh.operators import RULES
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.derivatives import AVERAGING
from boundmesh.operators.node import Node

MOST_ENTRIES = 2**24
"""The most entries of the matrix of a layer; larger layers have no norm here."""

OF_ENTRIES = 2.0**-40
"""The relative error of the entries of a layer's matrix that come from constants such as 1/9."""


def of_layers(graph: Graph, slopes: Slopes, norm: float) -> float:
    """Bound the Lipschitz constant in a norm 1, 2 or ∞ by those of the layers, `[outputs]` in all.

        c(input) = 1,   c(v) = Σ over the inputs k of v of  ‖∂v/∂k‖ · c(k)

    The norm of an affine layer is that of its matrix. That of a nonlinear operator is its steepest
    slope on the region. In a network without branches c is the product of these norms. It is
    infinite where a layer has more than `MOST_ENTRIES` coefficients.
    """
    weights, constants = tensors(graph, torch.float64), {graph.input: 1.0}
    for node in graph.ancestors(graph.output):
        if node.is_input:
            continue
        constants[node.name] = 0.0
        node_weights = [weights[name] for name in node.weights]
        for number, name in enumerate(node.inputs):
            size = _norm(node, node_weights, slopes, number, norm) if constants[name] else 0.0
            more = size * constants[name] * (1 + UP)
            constants[node.name] = (constants[node.name] + more) * (1 + UP)
        if not constants[node.name] < math.inf:
            return math.inf
    return constants[graph.output]


def _norm(node: Node, weights: Weights, slopes: Slopes, number: int, norm: float) -> float:
    """Bound the norm of the derivative of a node with respect to its input `number`."""
    if RULES[node.op].affine:
        if node.size * math.prod(node.input_shapes[number]) > MOST_ENTRIES:
            return math.inf
        return norm_of(matrix(node, weights, number), norm)
    low, high = slopes.places[node.name, number]
    ends = slopes.lower[low:high], slopes.upper[low:high]
    steepest = max((float(np.abs(end).max(initial=0.0)) for end in ends), default=0.0)
    if node.input_shapes[number] == node.shape:
        return steepest
    # Differences of averages along an axis are averages of differences.
    return 1.0 if node.op in AVERAGING else math.inf


def matrix(node: Node, weights: Weights, number: int) -> np.ndarray:
    """Return the matrix `[outputs, inputs]` of an affine node for its input `number`, float64."""
    outputs = node.size
    x = [
        torch.zeros(outputs, *shape, dtype=torch.float64, requires_grad=k == number)
        for k, shape in enumerate(node.input_shapes)
    ]
    with torch.enable_grad():
        y = RULES[node.op].forward(node, weights, *x)
        units = torch.eye(outputs, dtype=torch.float64).reshape(y.shape)
        (rows,) = torch.autograd.grad(y, x[number], units)
    return rows.reshape(outputs, -1).numpy()


def norm_of(matrix: np.ndarray, norm: float) -> float:
    """Bound the norm 1, 2 or ∞ of a matrix whose entries have relative errors of `OF_ENTRIES`."""
    spread = np.abs(matrix) * OF_ENTRIES
    largest = np.abs(matrix) + spread
    if norm == 1:
        return row_sum(largest.T)
    if norm == math.inf:
        return row_sum(largest)
    return spectral(matrix - spread, matrix + spread)
