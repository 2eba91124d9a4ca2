"""IBP, CROWN and α-CROWN against sampled points and against each other."""

from __future__ import annotations

import pytest
import torch

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.ibp import interval_rows
from boundmesh.bounds.sweep.region import BallRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.forward import forward, tensors
from tests.networks import DTYPE, NETWORKS, both_ways, problem, region, sampled

METHODS = {
    "ibp": lambda task, rows: interval_rows(task, DenseRows(rows)),
    "crown-ibp": lambda task, rows: crown(task, DenseRows(rows), by_rows=False)[0],
    "crown": lambda task, rows: crown(task, DenseRows(rows))[0],
    "alpha-crown": lambda task, rows: alpha_crown(task, DenseRows(rows), StepSchedule(4)).lower,
}
ROUNDING = 1e-9


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0])
def test_outputs_at_sampled_points_lie_inside_bounds(network, method, radius):
    graph = NETWORKS[network](3)
    box = region(graph, radius, domains=3)
    rows = both_ways(graph)
    lower = METHODS[method](problem(graph, box), rows)
    _, y = sampled(graph, box, 400)
    values = torch.einsum("dkn,sn->dks", y.flatten(2), rows[0].flatten(1))
    assert (values.amin(1) - lower >= -ROUNDING).all()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_bounds_of_a_point_are_its_value(network, method):
    graph = NETWORKS[network](5)
    box = region(graph, 0.0)
    rows = both_ways(graph)
    lower = METHODS[method](problem(graph, box), rows)
    _, y = sampled(graph, box, 1)
    assert torch.allclose(lower[0], rows[0].flatten(1) @ y.flatten(), atol=1e-7)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seed", range(3))
def test_alpha_crown_is_never_looser_than_crown(network, seed):
    graph = NETWORKS[network](seed)
    task, rows = problem(graph, region(graph, 0.4, seed)), DenseRows(both_ways(graph))
    fixed, _ = crown(task, rows)
    for iterations in (0, 1, 5):
        found = alpha_crown(task, rows, StepSchedule(iterations))
        assert (found.lower >= fixed - ROUNDING).all()


@pytest.mark.parametrize("network", ["mlp", "leaky", "conv", "resnet"])
def test_crown_is_never_looser_than_crown_with_intervals(network):
    graph = NETWORKS[network](1)
    task, rows = problem(graph, region(graph, 0.1)), DenseRows(both_ways(graph))
    assert crown(task, rows)[0].sum() >= crown(task, rows, by_rows=False)[0].sum()


@pytest.mark.parametrize("network", NETWORKS)
def test_intermediate_bounds_contain_the_values_of_start_nodes(network):
    graph = NETWORKS[network](2)
    box = region(graph, 0.5)
    found = alpha_crown(problem(graph, box), DenseRows(both_ways(graph)), StepSchedule(3))
    x, _ = sampled(graph, box, 300)
    from boundmesh.graph.forward import values

    seen = values(graph, tensors(graph, DTYPE), x.flatten(0, 1))
    for start, bounds in found.bounds.items():
        assert (seen[start] >= bounds.lower - ROUNDING).all()
        assert (seen[start] <= bounds.upper + ROUNDING).all()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_tiles_of_one_row_bound_what_one_tile_bounds(network, method):
    graph = NETWORKS[network](4)
    box, rows = region(graph, 0.3, domains=2), both_ways(graph)
    whole = METHODS[method](problem(graph, box), rows)
    parts = METHODS[method](problem(graph, box, tile_elements=1), rows)
    assert torch.allclose(whole, parts, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", ["ibp", "crown-ibp"])
def test_bounds_of_a_batch_are_those_of_its_domains(network, method):
    graph = NETWORKS[network](6)
    box, rows = region(graph, 0.3, domains=3), both_ways(graph)
    batch = METHODS[method](problem(graph, box), rows)
    for domain in range(3):
        one = type(box)(box.lower[domain : domain + 1], box.upper[domain : domain + 1])
        alone = METHODS[method](problem(graph, one), rows)
        assert torch.allclose(batch[domain], alone[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("method", METHODS)
def test_outputs_in_a_ball_lie_inside_bounds(p, method):
    graph = NETWORKS["mlp"](7)
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(1, *graph[graph.input].shape, dtype=DTYPE, generator=generator)
    ball = BallRegion(center, torch.tensor([0.7], dtype=DTYPE), p)
    rows = both_ways(graph)
    lower = METHODS[method](problem(graph, ball), rows)
    step = torch.randn(2000, center.numel(), dtype=DTYPE, generator=generator)
    step *= 0.7 / torch.linalg.vector_norm(step, ord=p, dim=1, keepdim=True)
    x = center + step.reshape(-1, *center.shape[1:])
    y = forward(graph, tensors(graph, DTYPE), x).flatten(1)
    assert ((y @ rows[0].flatten(1).mT).amin(0) - lower[0] >= -ROUNDING).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_nan_weight_gives_nan_and_never_a_bound(method):
    graph = NETWORKS["mlp"](0)
    name = graph.nodes[1].weights[0]
    broken = graph.weights[name].copy()
    broken[0, 0] = float("nan")
    weights = {**graph.weights, name: broken}
    graph = type(graph)(**{**graph.__dict__, "weights": weights})
    lower = METHODS[method](problem(graph, region(graph, 0.1)), both_ways(graph))
    assert not (lower > -torch.inf).any()
