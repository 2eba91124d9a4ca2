"""A counterexample that holds in float32, too, is told from one that does not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.attack.float32 import holds_in_float32
from boundmesh.attack.replay import Replay
from boundmesh.property import Atom, Box, Case, Clause, Property
from tests.attack.networks import identity

singles = st.floats(-1e3, 1e3, width=32)


def clause(*terms: tuple[int, object], bound: object, strict: bool = False) -> Clause:
    return Clause((Atom((), terms, bound, strict),))


def test_a_decimal_bound_counts_as_its_nearest_float32():
    y = np.array([np.float32(0.1)], dtype=np.float64)
    below = clause((0, 1), bound=Fraction(1, 10))
    assert not below.holds([], y) and holds_in_float32(below, [], y)
    above = clause((0, -1), bound=Fraction(-1, 10), strict=True)
    assert above.holds([], y) and not holds_in_float32(above, [], y)


@given(st.lists(singles, min_size=3, max_size=3), singles)
def test_what_holds_in_float32_holds_in_every_order_of_the_sum(values, bound):
    atoms = clause((0, 1), (1, Fraction(1, 10)), (2, -3), bound=Fraction(bound))
    y = np.array(values)
    if holds_in_float32(atoms, [], y):
        a, b, c = np.float32(y) * np.array([1, 0.1, -3], dtype=np.float32)
        for total in ((a + b) + c, a + (b + c), (a + c) + b):
            assert total <= np.float32(bound)


def test_the_replay_prefers_a_clause_that_holds_in_float32():
    narrow = clause((0, -1), bound=Fraction(-1, 10), strict=True)
    wide = clause((0, 1), bound=1)
    property = Property((Case(Box([0.0], [1.0]), (narrow, wide)),), 1, 1)
    found = Replay(identity(1))(property, 0, np.array([np.float32(0.1)], dtype=np.float64))
    assert found is not None and found.single and found.clause == 1
