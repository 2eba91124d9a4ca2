"""Regions that are bounded in one call get sound bounds, those that each would get alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boundmesh
from boundmesh import Ball, Box
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from tests.networks import conv_net, mlp

METHODS = ("ibp", "crown-ibp", "crown")
NETWORKS = {
    "mlp": mlp(6, 9, 8, 3, seed=5), "conv": conv_net(seed=1),
    "tanh": mlp(4, 7, 7, 2, activation="tanh"),
}  # fmt: skip
RADII = (0.0, 0.05, 0.1, 0.4)
POINTS = 200
OPTIONS = {"dtype": "float64", "device": "cpu"}


def regions(graph: Graph, kind: str = "box", radii: tuple[float, ...] = RADII) -> list[Box | Ball]:
    """Regions of radii from a point on, so that different neurons are unstable in each."""
    shape = graph[graph.input].shape
    centers = np.random.default_rng(3).normal(size=(len(radii), *shape))
    if kind == "box":
        return [Box.around(center, radius) for center, radius in zip(centers, radii, strict=True)]
    return [Ball(center, radius, 2) for center, radius in zip(centers, radii, strict=True)]


def samples(region: Box | Ball, random: np.random.Generator) -> np.ndarray:
    if isinstance(region, Box):
        return random.uniform(region.lower, region.upper, (POINTS, *region.shape))
    away = random.normal(size=(POINTS, region.size))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    reach = float(region.radius) * random.uniform(0, 1, (POINTS, 1))
    found: np.ndarray = region.center + (away * reach).reshape(POINTS, *region.shape)
    return found


@pytest.mark.parametrize("kind", ["box", "ball"])
@pytest.mark.parametrize("method", [*METHODS, "alpha-crown"])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_and_lines_hold_at_points_of_each_region(name: str, method: str, kind: str) -> None:
    graph, random = NETWORKS[name], np.random.default_rng(0)
    asked = regions(graph, kind)
    more = {"lines": method != "ibp", "iterations": 5, **OPTIONS}
    together = boundmesh.bounds(graph, asked, method=method, **more)
    weights = tensors(graph, torch.float64)
    for region, found in zip(asked, together, strict=True):
        x = samples(region, random)
        y = forward(graph, weights, torch.from_numpy(x)).numpy().reshape(POINTS, -1)
        assert (found.lower <= y + 1e-12).all() and (y <= found.upper + 1e-12).all()
        if found.below is not None and found.above is not None:
            flat = x.reshape(POINTS, -1)
            low = flat @ found.below.coefficients.T + found.below.constant
            high = flat @ found.above.coefficients.T + found.above.constant
            assert (low <= y + 1e-9).all() and (y <= high + 1e-9).all()


@pytest.mark.parametrize("kind", ["box", "ball"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_and_lines_are_those_of_each_region_alone(name: str, method: str, kind: str) -> None:
    graph = NETWORKS[name]
    asked = regions(graph, kind)
    more = {"lines": method != "ibp", **OPTIONS}
    together = boundmesh.bounds(graph, asked, method=method, **more)
    for region, found in zip(asked, together, strict=True):
        alone = boundmesh.bounds(graph, region, method=method, **more)
        pairs = [(found.lower, alone.lower), (found.upper, alone.upper)]
        for start, box in alone.intermediate.items():
            here = found.intermediate[start]
            assert len(here.lower) == 1
            pairs += [(here.lower.cpu(), box.lower.cpu()), (here.upper.cpu(), box.upper.cpu())]
        if found.below is not None and alone.below is not None:
            pairs.append((found.below.constant, alone.below.constant))
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_alpha_crown_of_a_batch_is_no_looser_than_crown_of_each_region(name: str) -> None:
    graph = NETWORKS[name]
    asked = regions(graph)
    together = boundmesh.bounds(graph, asked, iterations=5, **OPTIONS)
    for region, found in zip(asked, together, strict=True):
        alone = boundmesh.bounds(graph, region, method="crown", **OPTIONS)
        assert (found.lower >= alone.lower - 1e-9).all()
        assert (found.upper <= alone.upper + 1e-9).all()


def test_more_regions_than_are_bounded_together_keep_their_order() -> None:
    graph = NETWORKS["mlp"]
    asked = regions(graph, radii=tuple(np.linspace(0.05, 0.4, 300).tolist()))
    together = boundmesh.bounds(graph, asked, method="ibp", **OPTIONS)
    for place in (0, 255, 256, 299):
        alone = boundmesh.bounds(graph, asked[place], method="ibp", **OPTIONS)
        np.testing.assert_allclose(together[place].upper, alone.upper, rtol=1e-12)


def test_each_region_may_have_rows_of_its_own() -> None:
    graph = NETWORKS["mlp"]
    asked = regions(graph)
    rows = np.random.default_rng(1).normal(size=(len(asked), 2, 3))
    together = boundmesh.bounds(graph, asked, method="crown", rows=rows)
    for place, region in enumerate(asked):
        alone = boundmesh.bounds(graph, region, method="crown", rows=rows[place])
        np.testing.assert_allclose(together[place].lower, alone.lower, rtol=1e-4, atol=1e-5)


def test_no_regions_have_no_bounds() -> None:
    assert boundmesh.bounds(NETWORKS["mlp"], []) == []


def test_boxes_and_balls_are_not_bounded_together() -> None:
    graph = NETWORKS["mlp"]
    with pytest.raises(boundmesh.BoundmeshError, match="balls of one p"):
        boundmesh.bounds(graph, [*regions(graph, "box"), *regions(graph, "ball")])
