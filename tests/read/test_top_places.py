"""The places that TopK gives are read, compared with ONNX Runtime, and bounded."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
import torch

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import Runtime
from boundmesh.settings import Settings
from boundmesh.verdict import Falsified, Verified


def network(count: int, largest: int = 1, shape: str = "1, 5", axis: int = 1) -> Graph:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[{shape}] x) => (float[a, b] y) <int64[1] k = {{{count}}}>
    {{ v, i = TopK<axis={axis}, largest={largest}>(x, k) y = Cast<to=1>(i) }}"""
    return loads(onnx.parser.parse_model(text).SerializeToString())


def places(graph: Graph, x: np.ndarray) -> np.ndarray:
    point = torch.from_numpy(x).reshape(-1, *graph[graph.input].shape)
    found: np.ndarray = forward(graph, tensors(graph), point).flatten(1).numpy()
    return found


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_places_are_those_of_onnx_runtime_also_of_equal_elements(count: int, largest: int) -> None:
    graph = network(count, largest)
    runtime = Runtime(graph)
    random = np.random.default_rng(0)
    for _ in range(30):
        x = random.integers(0, 4, 5).astype(np.float32)
        np.testing.assert_array_equal(places(graph, x)[0], runtime(x.astype(np.float64)))


def test_places_along_the_first_axis_agree_with_their_source() -> None:
    agrees_with_source(network(2, shape="4, 3", axis=0), [Box(-np.ones(12), np.ones(12))])


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_the_places_of_every_point(method: str, seed: int) -> None:
    graph, random = network(4), np.random.default_rng(seed)
    lower = random.normal(size=5)
    upper = lower + random.uniform(0, 1, 5) * random.integers(0, 2, 5)
    found = boundmesh.bounds(graph, Box(lower, upper), method=method)
    x = (lower + (upper - lower) * random.random((300, 5))).astype(np.float32)
    y = places(graph, x)
    assert (found.lower.reshape(-1) <= y).all() and (y <= found.upper.reshape(-1)).all()


def test_an_order_that_bounds_decide_gives_exact_places() -> None:
    """The second and the third may change places; the others may not."""
    middle = np.array([3.0, 9.0, 6.0, 6.1, 0.0])
    found = boundmesh.bounds(network(5), Box(middle - 0.2, middle + 0.2), method="crown")
    np.testing.assert_allclose(found.lower.reshape(-1), [1, 2, 2, 0, 4], atol=1e-5)
    np.testing.assert_allclose(found.upper.reshape(-1), [1, 3, 3, 0, 4], atol=1e-5)


def test_conditions_on_places_are_proved_and_refuted() -> None:
    graph, settings = network(2), Settings(timeout=20)
    box = Box(np.array([3.0, 9, 6, 6, 0]) - 0.2, np.array([3.0, 9, 6, 6, 0]) + 0.2)

    def verdict(place: int, bound: float) -> object:
        clause = Clause((Atom((), ((place, -1.0),), -bound),))
        property = Property((Case(box, (clause,)),), 5, 2)
        return boundmesh.verify(graph, property, settings=settings).verdict

    # Of rank 0 it is element 1, and of rank 1 it is element 2 or 3.
    assert isinstance(verdict(0, 2), Verified)
    assert isinstance(verdict(1, 4), Verified)
    assert isinstance(verdict(1, 3), Falsified)
