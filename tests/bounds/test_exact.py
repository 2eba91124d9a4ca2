"""Bounds against exact enumeration: a tiny ReLU network is linear on every sign pattern."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from tests.networks import mlp, problem, region


def exact_minimum(graph: Graph, row: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """min of ⟨row, f(x)⟩ over a box for a network of one hidden ReLU layer, by a linear program
    for every pattern of signs."""
    first, second = (n for n in graph.nodes if n.op == "linear")
    w1, b1 = (graph.weights[name] for name in first.weights)
    w2, b2 = (graph.weights[name] for name in second.weights)
    best = np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=len(b1)):
        on = np.array(pattern)
        slope, shift = row @ w2 @ (on[:, None] * w1), row @ (w2 @ (on * b1) + b2)
        sign = 2 * on - 1
        found = linprog(
            slope,
            A_ub=-sign[:, None] * w1,
            b_ub=sign * b1,
            bounds=list(zip(lower, upper, strict=True)),
        )
        if found.status == 0:
            best = min(best, found.fun + shift)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_alpha_crown_lies_below_the_exact_minimum_and_meets_it_where_signs_are_known(seed):
    graph = mlp(2, 5, 2, seed=seed)
    for radius in (0.01, 0.8):
        box = region(graph, radius, seed)
        row = np.array([1.0, -1.0])
        rows = torch.tensor(row).reshape(1, 1, 1, 2)
        found = alpha_crown(problem(graph, box), DenseRows(rows), StepSchedule(20))
        truth = exact_minimum(graph, row, box.lower.numpy().ravel(), box.upper.numpy().ravel())
        assert found.lower.item() <= truth + 1e-8
        (bounds,) = found.bounds.values()
        if not ((bounds.lower < 0) & (bounds.upper > 0)).any():
            assert found.lower.item() == pytest.approx(truth, abs=1e-7)
