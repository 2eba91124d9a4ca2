"""What only exact arithmetic refutes is refuted at once, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundmesh.api import verify
from boundmesh.attack.replay import Replay
from boundmesh.graph.formed import Formed
from boundmesh.graph.graph import Graph
from boundmesh.proof.exact_network import ExactNetwork
from boundmesh.proof.simplex import feasible
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.verdict import Falsified, Verified
from tests.attack.networks import affine

Inequality = tuple[Sequence[Fraction], Fraction, bool]
small = st.integers(-3, 3).map(Fraction)
inequality = st.tuples(st.lists(small, min_size=3, max_size=3), small, st.booleans())
SOON = float("inf")


def eliminated(rows: Sequence[Inequality], widths: Sequence[Fraction]) -> bool:
    """Fourier–Motzkin elimination: True if the system has a solution."""
    left: list[Inequality] = list(rows)
    for place, width in enumerate(widths):
        unit = [Fraction(int(i == place)) for i in range(len(widths))]
        left += [(unit, width, False), ([-each for each in unit], Fraction(0), False)]
    for place in range(len(widths)):
        above = [row for row in left if row[0][place] > 0]
        below = [row for row in left if row[0][place] < 0]
        left = [row for row in left if row[0][place] == 0]
        for a, b, strict in above:
            for c, d, other in below:
                one, two = -c[place], a[place]
                terms = [one * x + two * y for x, y in zip(a, c, strict=True)]
                left.append((terms, one * b + two * d, strict or other))
        left = list({(tuple(a), b, strict) for a, b, strict in left})
    return all(b > 0 or (b == 0 and not strict) for _, b, strict in left)


@given(st.lists(inequality, max_size=4), st.lists(st.integers(0, 2), min_size=3, max_size=3))
@settings(deadline=None, max_examples=150)
def test_the_simplex_method_agrees_with_elimination(rows, widths):
    exact = [Fraction(width) for width in widths]
    assert feasible(rows, exact) == eliminated(rows, exact)


DISTANCE = affine(([[1, -1], [-1, 1]], [0, 0]), ([[1, 1]], [-0.5]))


def never(graph: Graph, box: Box, *atoms: Atom) -> object:
    property = Property((Case(box, (Clause(atoms),)),), box.size, 1)
    return verify(graph, property, device="cpu", timeout=20).verdict


UNIT = Box([[-1, -1]], [[1, 1]])


@pytest.mark.parametrize(
    "atoms",
    [
        (Atom((), ((0, 1),), -0.5, strict=True),),
        (Atom((), ((0, -1),), -1.5, strict=True),),
        # x₀ ≤ x₁ and x₁ ≤ x₀ and |x₀ − x₁| > 0
        (
            Atom(((0, 1), (1, -1)), (), 0),
            Atom(((0, -1), (1, 1)), (), 0),
            Atom((), ((0, -1),), 0.5, strict=True),
        ),
    ],
)
def test_a_strict_condition_at_an_attained_bound_is_refuted(atoms):
    assert isinstance(never(DISTANCE, UNIT, *atoms), Verified)


def test_the_same_condition_without_strictness_is_met():
    assert isinstance(never(DISTANCE, UNIT, Atom((), ((0, -1),), -1.5)), Falsified)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_nothing_is_refuted_that_a_point_satisfies(data):
    whole = st.integers(-2, 2)
    first = data.draw(st.lists(st.lists(whole, min_size=2, max_size=2), min_size=3, max_size=3))
    bias = data.draw(st.lists(whole, min_size=3, max_size=3))
    last = data.draw(st.lists(whole, min_size=3, max_size=3))
    graph = affine((first, bias), ([last], [0]))
    x = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=2, max_size=2))) / 2
    y = np.array(last) @ np.maximum(np.array(first) @ x + bias, 0)
    clause = Clause((Atom((), ((0, 1),), float(y)), Atom((), ((0, -1),), -float(y))))
    network = ExactNetwork.of(graph, UNIT)
    assert network is not None and not network.refutes(clause, SOON)
    property = Property((Case(UNIT, (clause,)),), 2, 1)
    assert Replay(graph)(property, 0, x) is not None


def test_a_computed_weight_is_not_taken_for_exact():
    assert ExactNetwork.of(DISTANCE, UNIT) is not None
    weights = {name: array / 3 for name, array in DISTANCE.weights.items()}
    formed = dict.fromkeys(weights, Formed(None, 1))
    assert ExactNetwork.of(replace(DISTANCE, weights=weights, formed=formed), UNIT) is None
