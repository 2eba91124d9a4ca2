"""Inputs without a bound are searched, and matter only where something depends on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boundmesh.api import verify
from boundmesh.attack.everywhere import shrunk
from boundmesh.graph.graph import Graph
from boundmesh.property import Box, Property
from boundmesh.read import vnnlib
from boundmesh.read.query import parse
from boundmesh.verdict import Falsified, Unknown, Verdict, Verified
from tests.attack.networks import affine

HEAD = """(vnnlib-version <2.0>)
(declare-network f (declare-input X real [1,2]) (declare-output Y real [1,1]))
"""
# max(x₀ + 3·x₁, 0) − 1, and the same without x₁
BOTH = affine(([[1, 3]], [0]), ([[1]], [-1]))
FIRST = affine(([[1, 0]], [0]), ([[1]], [-1]))


def decided(text: str, graph: Graph = BOTH) -> Verdict:
    joined, property = vnnlib.join(parse(HEAD + text, Path("p.vnnlib")), {"f": graph})
    return verify(joined, property, device="cpu", timeout=30).verdict


@pytest.mark.parametrize("far", [0.5, 90, 9000, 1e7])
def test_a_counterexample_is_found_however_far_it_lies(far):
    verdict = decided(f"(assert (>= Y[0,0] {far}))")
    assert isinstance(verdict, Falsified) and verdict.counterexample.output[0] >= far


def test_a_range_with_one_end_is_searched_from_that_end():
    verdict = decided("(assert (>= X[0,0] 1000)) (assert (<= X[0,1] -5)) (assert (>= Y[0,0] 900))")
    assert isinstance(verdict, Falsified)
    assert verdict.counterexample.input[0] >= 1000


def test_a_proof_that_needs_a_bound_names_its_variable():
    verdict = decided("(assert (>= X[0,0] 0)) (assert (< Y[0,0] -2))")
    assert isinstance(verdict, Unknown)
    assert "input X[0,0] has no upper bound (and 1 more)" in verdict.reason


def test_an_input_that_nothing_depends_on_needs_no_bound():
    text = "(assert (>= X[0,0] 0)) (assert (<= X[0,0] 1)) (assert (> Y[0,0] 0.5))"
    assert isinstance(decided(text, FIRST), Verified)
    assert isinstance(decided(text), Falsified)
    assert isinstance(decided(text + "(assert (>= X[0,1] 7))", FIRST), Verified)


def test_contradictory_conditions_need_no_bounds():
    assert isinstance(decided("(assert (> X[0,0] X[0,1])) (assert (<= X[0,0] X[0,1]))"), Verified)


def test_smaller_regions_lie_inside():
    _, property = vnnlib.join(
        parse(HEAD + "(assert (>= X[0,0] 0.1)) (assert (> Y[0,0] 1))", Path("p.vnnlib")),
        {"f": BOTH},
    )
    for radius in (1.0, 1e8):
        smaller: Property = shrunk(property, radius)
        (case,) = smaller.cases
        assert isinstance(case.region, Box)
        whole = property.cases[0].region
        assert whole.contains(case.region.point(np.array(case.region.most)))
        assert whole.contains(case.region.point(np.array(case.region.least)))
        assert case.region.exact_lower and case.region.upper.max() < 2 * radius
