"""Bounds of the project's own networks against IBP and CROWN written plainly a second time."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import boundmesh
from boundmesh import Bounds, Box, Graph
from tests.networks import conv_net, mlp, resnet
from tests.reference import dense

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
BUILT = {
    "mlp": lambda: mlp(4, 9, 7, 3, seed=5),
    "deep mlp": lambda: mlp(6, 12, 12, 12, 12, 4, seed=6),
    "conv": lambda: conv_net(seed=1),
    "resnet": lambda: resnet(seed=2),
}
NAMES = [*BUILT, *(file.name for file in sorted(DIGITS.glob("*.onnx")))]
WAYS = {"ibp": dense.ibp, "crown": dense.crown}
RADII = (0.0, 0.03, 0.3)


@cache
def network(name: str) -> tuple[Graph, list[dense.Layer]]:
    graph = BUILT[name]() if name in BUILT else boundmesh.load(DIGITS / name)
    return graph, dense.layers_of(graph)


def box_of(name: str, radius: float) -> Box:
    if name not in BUILT:
        return Box.around(np.load(DIGITS / "image.npy"), radius, clip=(0, 1))
    shape = network(name)[0].inputs[0].shape
    return Box.around(np.random.default_rng(3).normal(size=shape), radius)


def both(
    name: str, radius: float, method: str, rounding: str
) -> tuple[Bounds, np.ndarray, np.ndarray]:
    graph, layers = network(name)
    box = box_of(name, radius)
    found = boundmesh.bounds(
        graph, box, method=method, rounding=rounding, dtype="float64", device="cpu"
    )
    ends = (np.asarray(end, np.float64).ravel() for end in (box.lower, box.upper))
    return found, *WAYS[method](layers, *ends)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_those_of_the_formulas(name: str, method: str, radius: float) -> None:
    found, lower, upper = both(name, radius, method, "trust")
    np.testing.assert_allclose(found.lower, lower, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.upper, upper, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_bounds_of_real_arithmetic_contain_them_closely(
    name: str, method: str, radius: float
) -> None:
    found, lower, upper = both(name, radius, method, "real")
    assert (found.lower <= lower).all() and (found.upper >= upper).all()
    np.testing.assert_allclose(found.lower, lower, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.upper, upper, rtol=1e-9, atol=1e-9)
