"""Points that break a property only as ONNX Runtime rounds are named, and no proof gives way."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import boundmesh
from boundmesh.property import Atom, Box, Case, Clause, Property, Variable
from boundmesh.verdict import Falsified, Unknown, Verified
from tests.attack.networks import affine

WEIGHT = float(np.float32(0.1))
ROUNDED = float(np.float32(3.0) * np.float32(0.1))
"""3·WEIGHT in float32, which lies above the exact product."""


def just_above(element_type: str) -> Property:
    """At x = 3, the output of a network that computes WEIGHT·x reaches its float32 value."""
    variables = (
        Variable("X", "input", (1,), element_type),
        Variable("Y", "output", (1,), element_type),
    )
    clause = Clause((Atom((), ((0, Fraction(-1)),), -Fraction(ROUNDED)),))
    three = np.array([3.0])
    return Property((Case(Box(three, three), (clause,)),), 1, 1, variables)


def decided(element_type: str, **options: Any) -> boundmesh.Result:
    assert Fraction(WEIGHT) * 3 < Fraction(ROUNDED)
    network = affine(([[WEIGHT]], [0.0]))
    return boundmesh.verify(network, just_above(element_type), **options)


def test_in_float32_the_point_is_a_counterexample() -> None:
    assert isinstance(decided("float32").verdict, Falsified)
    assert isinstance(decided("Real", rounding="float32").verdict, Falsified)


def test_what_nothing_proves_over_real_numbers_is_broken_by_the_network_as_it_runs() -> None:
    result = decided("Real", method="crown")
    assert isinstance(result.verdict, Falsified)
    assert result.verdict.counterexample.input.tolist() == [3.0]
    (warning,) = result.history.warnings
    assert warning.startswith("the counterexample is about the network as it runs: as ONNX Runtime")


def test_where_the_user_names_real_arithmetic_the_reason_names_the_point_and_the_option() -> None:
    verdict = decided("Real", method="crown", rounding="real").verdict
    assert isinstance(verdict, Unknown)
    assert f"the input (3.0) breaks the property with the output ({ROUNDED!r})" in verdict.reason
    assert verdict.reason.endswith("--rounding float32 accepts it")


def test_a_proof_in_real_arithmetic_stands_beside_a_warning() -> None:
    result = decided("Real")
    assert isinstance(result.verdict, Verified)
    (warning,) = result.history.warnings
    assert warning.startswith("the proof is about real numbers: as ONNX Runtime rounds, the input")


@pytest.mark.parametrize("element_type", ["Real", "float32"])
def test_without_such_a_point_nothing_is_told(element_type: str) -> None:
    network = affine(([[WEIGHT]], [-1.0]))
    result = boundmesh.verify(network, just_above(element_type))
    assert isinstance(result.verdict, Verified)
    assert not result.history.warnings
