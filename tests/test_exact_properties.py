"""Verdicts about decimals agree with rational arithmetic, at the very ends of what is possible."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundmesh.read import vnnlib
from boundmesh.read.query import parse
from boundmesh.settings import Settings
from boundmesh.verdict import Counterexample, Falsified, Verified
from boundmesh.verify import verify
from tests.attack.networks import affine

# y₀ = relu(x₀) + relu(x₁), y₁ = relu(x₀): exact in real arithmetic, as the weights are.
GRAPH = affine(([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), ([[1.0, 1.0], [1.0, 0.0]], [0.0, 0.0]))
TENTHS = st.integers(1, 9).map(lambda each: Fraction(each, 10))
NEAR = st.sampled_from([Fraction(0), Fraction(1, 10**18), -Fraction(1, 10**18), Fraction(1, 10**5)])
DECLARED = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))


def decimal(value: Fraction) -> str:
    return f"(/ {value.numerator}.0 {value.denominator}.0)"


@settings(max_examples=25)
@given(TENTHS, TENTHS, TENTHS, TENTHS, NEAR, st.sampled_from([">=", ">"]), st.booleans())
def test_a_claim_at_the_end_of_what_is_possible_is_decided_right(a, b, c, d, away, sign, swap):
    # The largest of a·y₀ + b·y₁ over x₀ ≤ c, x₁ ≤ d, and a bound beside it.
    largest = a * (c + d) + b * c
    low = [f"(>= {x} 0)" for x in ("X_0", "X_1")]
    boxes = [
        f"(and {' '.join(low)} (<= X_0 {decimal(c)}) (<= X_1 {decimal(d)}))",
        f"(and {' '.join(low)} (<= X_0 {decimal(c / 2)}) (<= X_1 {decimal(d / 2)}))",
    ]
    boxes = boxes[::-1] if swap else boxes
    sum_of_two = f"(+ (* {decimal(a)} Y_0) (* {decimal(b)} Y_1))"
    text = f"{DECLARED}(assert (or {' '.join(boxes)}))"
    text += f"(assert ({sign} {sum_of_two} {decimal(largest + away)}))"
    property = vnnlib.fit(parse(text, Path("p")), GRAPH.inputs, GRAPH.outputs)
    verdict = verify(GRAPH, property, settings=Settings(timeout=0.5)).verdict
    possible = away < 0 or (away == 0 and sign == ">=")
    assert not (possible and isinstance(verdict, Verified)), text
    if away > Fraction(1, 10**6):
        assert isinstance(verdict, Verified)
    if isinstance(verdict, Falsified):
        witness(property, verdict.counterexample)


def witness(property, found: Counterexample) -> None:
    case = property.cases[found.case]
    assert case.region.contains(found.point)
    assert case.clauses[found.clause].holds(found.point, found.output)


@pytest.mark.parametrize("strict", [False, True])
def test_a_clause_without_atoms_and_conditions_without_points_are_decided(strict):
    sign = ">" if strict else ">="
    text = f"{DECLARED}(assert (and (>= X_0 0.1) (<= X_0 0.1) (>= X_1 0.2) ({sign} 0.3 X_1)))"
    property = vnnlib.fit(parse(text, Path("p")), GRAPH.inputs, GRAPH.outputs)
    verdict = verify(GRAPH, property).verdict
    assert isinstance(verdict, Falsified)
    witness(property, verdict.counterexample)
    text += "(assert (> X_1 0.3))"
    property = vnnlib.fit(parse(text, Path("p")), GRAPH.inputs, GRAPH.outputs)
    assert isinstance(verify(GRAPH, property).verdict, Verified)
