"""Domains whose proof float32's rounding hides are bounded again in float64."""

from __future__ import annotations

import numpy as np
import pytest

import boundmesh
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.property import Atom, Box, Case, Clause, Property


def hidden_by(large: float) -> Graph:
    """`relu(x + large·relu(x)) − large·relu(x)`, which is x for x ≥ 0; float32 rounds at `large`."""
    build = Builder()
    x = build.input((1, 1))
    grown = build.add("scale", build.add("relu", x), weights=(np.array(large),))
    both = build.add("relu", build.add("add", x, grown))
    y = build.add("subtract", both, grown)
    ports = (Port("input", (1, 1)),), (Port("output", (1, 1)),)
    return Graph(tuple(build.nodes.values()), "input", y.name, build.weights, *ports)


@pytest.mark.parametrize("branching", ["input", "babsr"])
def test_what_rounding_hides_is_proved_without_many_splits(branching: str) -> None:
    clause = Clause((Atom((), ((0, 1.0),), 0.3),))
    wanted = Property((Case(Box([0.4], [0.6]), (clause,)),), 1, 1)
    found = boundmesh.verify(
        hidden_by(2.0**24), wanted, rounding="real", branching=branching, timeout=20
    )
    assert found.verdict.word == "unsat"
