"""Regions that are bounded together get sound bounds, each at least as tight as alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boundmesh
from boundmesh import Ball, Box
from boundmesh.graph.forward import forward, tensors
from tests.networks import conv_net, mlp

NETWORKS = {"mlp": lambda: mlp(4, 9, 7, 3, seed=5), "conv": lambda: conv_net(seed=1)}
POINTS = 200


def regions(shape: tuple[int, ...], kind: str) -> list[Box] | list[Ball]:
    centers = np.random.default_rng(3).normal(size=(3, *shape))
    if kind == "box":
        return [
            Box.around(center, radius)
            for center, radius in zip(centers, (0, 0.1, 0.4), strict=True)
        ]
    return [Ball(center, radius, 2) for center, radius in zip(centers, (0, 0.1, 0.4), strict=True)]


def samples(region: Box | Ball, random: np.random.Generator) -> np.ndarray:
    if isinstance(region, Box):
        return random.uniform(region.lower, region.upper, (POINTS, *region.shape))
    away = random.normal(size=(POINTS, region.size))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    reach = float(region.radius) * random.uniform(0, 1, (POINTS, 1))
    return region.center + (away * reach).reshape(POINTS, *region.shape)


@pytest.mark.parametrize("kind", ["box", "ball"])
@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize("name", NETWORKS)
def test_regions_that_are_bounded_together_get_bounds_of_their_own(
    name: str, method: str, kind: str
) -> None:
    graph = NETWORKS[name]()
    asked = regions(graph[graph.input].shape, kind)
    options = {"method": method, "dtype": "float64", "device": "cpu"}
    together = boundmesh.bounds(graph, asked, lines=method != "ibp", **options)
    random = np.random.default_rng(0)
    weights = tensors(graph)
    for region, found in zip(asked, together, strict=True):
        x = samples(region, random)
        y = forward(graph, weights, points_of(x)).numpy().reshape(POINTS, -1)
        assert (found.lower <= y + 1e-4).all() and (y <= found.upper + 1e-4).all()
        if method in ("ibp", "crown-ibp", "crown"):
            alone = boundmesh.bounds(graph, region, **options)
            assert (found.lower >= alone.lower - 1e-9).all()
            assert (found.upper <= alone.upper + 1e-9).all()
        if found.below is not None and found.above is not None:
            flat = x.reshape(POINTS, -1)
            low = flat @ found.below.coefficients.T + found.below.constant
            high = flat @ found.above.coefficients.T + found.above.constant
            assert (low <= y + 1e-4).all() and (y <= high + 1e-4).all()
        assert all(len(box.lower) == 1 for box in found.intermediate.values())


def points_of(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


def test_no_regions_have_no_bounds() -> None:
    assert boundmesh.bounds(NETWORKS["mlp"](), []) == []


def test_boxes_and_balls_are_not_bounded_together() -> None:
    graph = NETWORKS["mlp"]()
    shape = graph[graph.input].shape
    mixed = [*regions(shape, "box"), *regions(shape, "ball")]
    with pytest.raises(boundmesh.BoundmeshError, match="balls of one p"):
        boundmesh.bounds(graph, mixed)
