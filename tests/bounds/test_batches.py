"""Bounds of several regions in one call."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from tests.networks import conv_net, mlp

METHODS = ("ibp", "crown-ibp", "crown")
NETWORKS = {"mlp": mlp(6, 9, 8, 3), "conv": conv_net(), "tanh": mlp(4, 7, 7, 2, activation="tanh")}


def boxes(graph: Graph, count: int) -> list[boundmesh.Box]:
    """Boxes of widths from 0.05 to 0.4, so that different neurons are unstable in each."""
    rng = np.random.default_rng(5)
    shape = graph[graph.input].shape
    widths = np.linspace(0.05, 0.4, count)
    return [boundmesh.Box.around(rng.normal(size=shape), float(width)) for width in widths]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_of_a_batch_are_those_of_its_regions_alone(name: str, method: str) -> None:
    graph = NETWORKS[name]
    regions = boxes(graph, 4)
    batch = boundmesh.bounds(graph, regions, method=method, dtype="float64")
    for place, region in enumerate(regions):
        alone = boundmesh.bounds(graph, region, method=method, dtype="float64")
        np.testing.assert_allclose(batch[place].lower, alone.lower, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(batch[place].upper, alone.upper, rtol=1e-9, atol=1e-9)
        for start, box in alone.intermediate.items():
            lower = batch[place].intermediate[start].lower[0].cpu()
            np.testing.assert_allclose(lower, box.lower[0].cpu(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_alpha_crown_of_a_batch_is_no_looser_than_crown_of_each_region(name: str) -> None:
    graph = NETWORKS[name]
    regions = boxes(graph, 4)
    batch = boundmesh.bounds(graph, regions, dtype="float64", iterations=5)
    rng = np.random.default_rng(2)
    for place, region in enumerate(regions):
        alone = boundmesh.bounds(graph, region, method="crown", dtype="float64")
        assert np.all(batch[place].lower >= alone.lower - 1e-9)
        points = torch.from_numpy(rng.uniform(region.lower, region.upper, (200, *region.shape)))
        found = forward(graph, tensors(graph, torch.float64), points).flatten(1).numpy()
        assert np.all(found >= batch[place].lower) and np.all(found <= batch[place].upper)


def test_more_regions_than_are_bounded_together_keep_their_order() -> None:
    graph = NETWORKS["mlp"]
    regions = boxes(graph, 300)
    batch = boundmesh.bounds(graph, regions, method="ibp", dtype="float64")
    for place in (0, 255, 256, 299):
        alone = boundmesh.bounds(graph, regions[place], method="ibp", dtype="float64")
        np.testing.assert_allclose(batch[place].upper, alone.upper, rtol=1e-12)


def test_each_region_may_have_rows_of_its_own() -> None:
    graph = NETWORKS["mlp"]
    regions = boxes(graph, 3)
    rows = np.random.default_rng(1).normal(size=(3, 2, 3))
    batch = boundmesh.bounds(graph, regions, method="crown", rows=rows)
    for place, region in enumerate(regions):
        alone = boundmesh.bounds(graph, region, method="crown", rows=rows[place])
        np.testing.assert_allclose(batch[place].lower, alone.lower, rtol=1e-4, atol=1e-5)


def test_lines_of_a_batch_lie_below_and_above_in_each_region() -> None:
    graph = NETWORKS["mlp"]
    regions = boxes(graph, 3)
    found = boundmesh.bounds(graph, regions, method="crown", lines=True, dtype="float64")
    for place, region in enumerate(regions):
        alone = boundmesh.bounds(graph, region, method="crown", lines=True, dtype="float64")
        below = found[place].below
        assert alone.below is not None and below is not None
        np.testing.assert_allclose(below.constant, alone.below.constant, atol=1e-9)
