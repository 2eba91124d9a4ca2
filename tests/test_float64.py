"""Once more in float64: where float32's rounding stands in a proof's way, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boundmesh
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.proof import float64
from boundmesh.property import Atom, Box, Case, Clause, Property
from tests import networks


def square_off_center(off: float) -> Graph:
    """`(x + off)² − 2·off·x − off²`, which is x²; float32 rounds at off²."""
    build = Builder()
    x = build.input((1, 1))
    square = build.add("power", build.add("shift", x, weights=(np.array(off),)), exponent=2.0)
    line = build.add("scale", x, weights=(np.array(2 * off),))
    flat = build.add("subtract", square, line)
    y = build.add("shift", flat, weights=(np.array(-off * off),))
    ports = (Port("input", (1, 1)),), (Port("output", (1, 1)),)
    return Graph(tuple(build.nodes.values()), "input", y.name, build.weights, *ports)


def never_below(least: float) -> Property:
    region = Box(np.array([-0.01]), np.array([0.01]))
    clause = Clause((Atom((), ((0, 1.0),), least),))
    return Property((Case(region, (clause,)),), 1, 1)


def test_what_float32_rounds_away_is_proved_in_float64_without_a_search() -> None:
    found = boundmesh.verify(square_off_center(1024.0), never_below(-0.5), rounding="real")
    assert found.verdict.word == "unsat"
    assert "float64" in found.seconds and "branch" not in found.seconds


def test_what_float32_proves_is_bounded_once() -> None:
    found = boundmesh.verify(square_off_center(1.0), never_below(-0.5))
    assert found.verdict.word == "unsat"
    assert "float64" not in found.seconds


def test_a_method_that_was_asked_for_is_not_followed_by_float64() -> None:
    found = boundmesh.verify(square_off_center(1024.0), never_below(-0.5), method="alpha-crown")
    assert found.verdict.word == "unknown"
    assert "float64" not in found.seconds


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [("smooth", "float32", True), ("smooth", "float64", False), ("mlp", "float32", False)],
)
def test_float64_helps_smooth_networks_in_float32(name: str, dtype: str, expected: bool) -> None:
    graph = networks.NETWORKS[name](0)
    assert float64.helps(graph, OneDevice(graph, "cpu", getattr(torch, dtype))) == expected


@pytest.mark.parametrize(("wide", "expected"), [(1_000, True), (2_100, False)])
def test_float64_helps_networks_of_up_to_four_million_multiplications(
    wide: int, expected: bool
) -> None:
    graph = networks.mlp(wide, wide, 1, activation="tanh")
    assert float64.helps(graph, OneDevice(graph)) == expected
