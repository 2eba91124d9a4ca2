"""The largest certified radius of each input lies below the smallest refuted one, and near it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch import nn

import boundmesh
from tests.certify.networks import graph_of, inputs, mlp, predictions

NORMS = pytest.mark.parametrize("norm", [1, 2, math.inf])


@NORMS
def test_the_radii_of_a_linear_network_enclose_the_exact_one(norm) -> None:
    module = nn.Linear(10, 3)
    points, dual = inputs(6), {1: math.inf, 2: 2, math.inf: 1}[norm]
    found = boundmesh.certify(graph_of(module), points, eps=4, norm=norm, largest=True)
    weight = module.weight.detach().double().numpy()
    scores = points @ weight.T + module.bias.detach().double().numpy()
    for each in found:
        others = [j for j in range(3) if j != each.label]
        exact = min(
            (scores[each.index, each.label] - scores[each.index, j])
            / np.linalg.norm(weight[each.label] - weight[j], ord=dual)
            for j in others
        )
        if exact < 4:
            assert each.certified_eps <= exact <= each.falsified_eps
            assert each.falsified_eps - each.certified_eps <= 4 / 256
        else:
            assert each.certified_eps == 4 and each.verdict == "certified"


@NORMS
def test_radii_are_certified_and_refuted_by_verdicts_at_these_radii(norm) -> None:
    module, points = mlp(1), inputs(1, seed=3)
    graph = graph_of(module)
    found = boundmesh.certify(
        graph, points, eps=4, norm=norm, largest=True, tolerance=0.05, timeout_per_input=30
    )
    for each in found:
        assert each.certified_eps < each.falsified_eps < 4
        assert each.falsified_eps - each.certified_eps <= 0.05 or each.reason
        point = points[[each.index]]
        certified = boundmesh.certify(
            graph, point, [each.label], eps=each.certified_eps, norm=norm, timeout_per_input=60
        )
        assert certified[0].verdict == "certified"
        counterexample = each.counterexample
        assert counterexample is not None
        assert predictions(module, counterexample[None])[0] != each.label or np.isclose(
            each.falsified_eps, each.certified_eps, atol=0.1
        )
        away = np.linalg.norm(counterexample - point[0].astype(np.float64), ord=norm)
        assert away <= each.falsified_eps * (1 + 1e-12)


def test_a_radius_is_never_larger_than_eps() -> None:
    found = boundmesh.certify(graph_of(mlp()), inputs(4), eps="1/1000", largest=True)
    assert (found.certified_eps <= 0.001).all()
    assert found.count("certified") > 0
    sure = found.certified_eps[found.proved]
    assert np.allclose(sure, 0.001, rtol=1e-12)


def test_an_input_of_another_class_has_no_certified_radius() -> None:
    module, points = mlp(), inputs(3)
    wrong = (predictions(module, points) + 1) % 3
    found = boundmesh.certify(graph_of(module), points, wrong, eps=0.1, largest=True)
    assert found.count("misclassified") == 3
    assert (found.certified_eps == 0).all() and (found.falsified_eps == 0).all()


def test_time_that_runs_out_leaves_radii_that_are_not_wrong() -> None:
    found = boundmesh.certify(graph_of(mlp(1)), inputs(4, seed=2), eps=1, largest=True, timeout=0.5)
    assert (found.certified_eps < found.falsified_eps).all()
