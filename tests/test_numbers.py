"""Output bounds as numbers: what the public function answers."""

from __future__ import annotations

import numpy as np
import pytest

import boundmesh
from boundmesh import Ball, BoundmeshError, Box
from boundmesh.graph.forward import forward, tensors
from tests.networks import DTYPE, NETWORKS, region, sampled

RELU = ["mlp", "conv", "resnet"]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", ["crown-ibp", "crown", "alpha-crown"])
def test_lines_lie_below_and_above_the_network_on_its_region(network, method):
    graph = NETWORKS[network](2)
    box = region(graph, 0.4)
    written = Box(box.lower[0].numpy(), box.upper[0].numpy())
    found = boundmesh.bounds(
        graph, written, method=method, lines=True, dtype="float64", iterations=3
    )
    x, y = sampled(graph, box, 500)
    inputs, outputs = x[0].flatten(1).numpy(), y[0].flatten(1).numpy()
    below = inputs @ found.below.coefficients.T + found.below.constant
    above = inputs @ found.above.coefficients.T + found.above.constant
    assert (below <= outputs + 1e-9).all()
    assert (outputs <= above + 1e-9).all()


def test_rows_bound_linear_functions_of_the_outputs():
    graph = NETWORKS["mlp"](3)
    box = region(graph, 0.3)
    rows = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -2.0]])
    written = Box(box.lower[0].numpy(), box.upper[0].numpy())
    found = boundmesh.bounds(graph, written, rows=rows, dtype="float64", iterations=3)
    _, y = sampled(graph, box, 500)
    values = y[0].flatten(1).numpy() @ rows.T
    assert (found.lower <= values.min(0) + 1e-9).all()
    assert (values.max(0) <= found.upper + 1e-9).all()


def test_a_ball_of_radius_zero_has_the_value_of_its_center():
    graph = NETWORKS["mlp"](4)
    center = np.full(graph.inputs[0].size, 0.2)
    found = boundmesh.bounds(graph, Ball(center, 0.0, 2), method="crown", dtype="float64")
    weights = tensors(graph, DTYPE)
    x = np.reshape(center, (1, *graph[graph.input].shape))
    import torch

    value = forward(graph, weights, torch.from_numpy(x)).numpy().ravel()
    assert np.allclose(found.lower, value) and np.allclose(found.upper, value)


def test_a_region_of_another_size_is_refused():
    graph = NETWORKS["mlp"](0)
    with pytest.raises(BoundmeshError, match="7 inputs; the network has 4"):
        boundmesh.bounds(graph, Box(np.zeros(7), np.ones(7)))
