"""Quadratic forms: squares beside products compute the same, and bound it more tightly."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
import torch

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.proof.guarantee import for_bounds
from boundmesh.read.onnx import loads
from boundmesh.read.quadratic import with_squares
from boundmesh.settings import Settings

SIZE = 4
KINDS = ("convex", "concave", "indefinite", "asymmetric", "singular")


def matrix(kind: str) -> np.ndarray:
    random = np.random.default_rng(3)
    root = random.normal(size=(SIZE, SIZE))
    if kind == "asymmetric":
        return root.astype(np.float32)
    weights = {"convex": [1, 2, 3, 4], "concave": [-1, -2, -3, -4], "indefinite": [1, -2, 3, -4],
               "singular": [0, 0, 2, 1]}[kind]  # fmt: skip
    found: np.ndarray = (root.T @ np.diag(weights) @ root).astype(np.float32)
    return found


def network(kind: str, other: bool = False) -> Graph:
    """`Σ x·(x P)` of an input x; with `other`, the layer P reads another value."""
    numbers = ", ".join(f"{value:.9g}" for value in matrix(kind).ravel())
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, {SIZE}] x) => (float[1, 1] y)
    <float[{SIZE}, {SIZE}] p = {{{numbers}}}, int64[1] axes = {{1}}>
    {{ h = Relu(x) l = MatMul({"h" if other else "x"}, p) q = Mul(x, l) y = ReduceSum(q, axes) }}"""
    return loads(onnx.parser.parse_model(text).SerializeToString())


def values(graph: Graph, x: np.ndarray) -> np.ndarray:
    found = forward(graph, tensors(graph, torch.float64), torch.from_numpy(x).unsqueeze(1))
    return found.flatten().numpy()


def box(seed: int, radius: float) -> boundmesh.Box:
    center = np.random.default_rng(seed).normal(size=SIZE)
    return boundmesh.Box(center - radius, center + radius)


def points(region: boundmesh.Box, count: int = 500) -> np.ndarray:
    share = np.random.default_rng(0).random((count, SIZE))
    share[::2] = share[::2].round()
    found: np.ndarray = region.lower + share * (region.upper - region.lower)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_both_forms_compute_the_same(kind: str) -> None:
    graph = network(kind)
    kept = with_squares(graph)
    x = points(box(0, 3.0))
    assert kept is not graph
    np.testing.assert_allclose(values(kept, x), values(graph, x), rtol=1e-12, atol=1e-12)
    # The squares alone, which are the first input of the last node.
    squares = Graph(
        kept.nodes, kept.input, kept[kept.output].inputs[0], kept.weights, kept.inputs, ()
    )
    np.testing.assert_allclose(values(squares, x), values(graph, x), rtol=1e-12, atol=1e-12)


def test_a_product_with_a_layer_of_another_value_stays() -> None:
    graph = network("convex", other=True)
    assert with_squares(graph) is graph


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_contain_samples(kind: str, method: str) -> None:
    graph = network(kind)
    for seed, radius in enumerate((0.0, 1e-3, 0.3, 5.0)):
        region = box(seed, radius)
        found = boundmesh.bounds(graph, region, method=method, iterations=3)
        y = values(graph, points(region))
        assert (found.lower <= y).all() and (y <= found.upper).all()


def lower(graph: Graph, region: boundmesh.Box, rounding: str) -> float:
    settings = {"method": "crown", "dtype": "float64", "rounding": rounding}
    return float(boundmesh.bounds(graph, region, **settings).lower[0])


@pytest.mark.parametrize("radius", [0.1, 1.0, 5.0])
def test_the_lower_bound_of_a_convex_form_is_the_lowest_tangent(radius: float) -> None:
    """A float64 run has the products alone. The tangent at the centre c is `(2x − c)ᵀPc`."""
    graph = network("convex")
    p = matrix("convex").astype(np.float64)
    for seed in range(5):
        region = box(seed, radius)
        center = (region.lower + region.upper) / 2
        slope = (p + p.T) @ center
        tangent = center @ p @ center - np.abs(slope) @ (region.upper - center)
        assert lower(graph, region, "real") >= tangent - 1e-6 * (1 + abs(tangent))
        assert lower(graph, region, "real") > lower(graph, region, "float64")


def test_a_run_in_floating_point_keeps_the_products() -> None:
    graph = network("convex")
    assert for_bounds(graph, Settings(rounding="float32")) is graph


@pytest.mark.parametrize("size", [1e60, 1e80, 1e300])
def test_a_form_of_huge_numbers_keeps_its_bounds(size: float) -> None:
    """Roots of numbers above 10^77 are no float32 numbers."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (double[1, 2] x) => (double[1, 1] y)
    <double[2, 2] p = {{{size}, {size / 8}, {size / 9}, {-size}}}, int64[1] axes = {{1}}>
    {{ l = MatMul(x, p) q = Mul(x, l) y = ReduceSum(q, axes) }}"""
    graph = loads(onnx.parser.parse_model(text).SerializeToString())
    region = boundmesh.Box(np.full(2, 0.1), np.full(2, 0.2))
    found = boundmesh.bounds(graph, region, method="crown", dtype="float64")
    x = np.random.default_rng(0).uniform(0.1, 0.2, (100, 2))
    y = values(graph, x)
    assert np.isfinite(found.lower).all() and np.isfinite(found.upper).all()
    assert (found.lower <= y).all() and (y <= found.upper).all()
