"""Counterexamples are written as the standards say and read back bit for bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.property import Property, Variable
from boundmesh.report.assignment import assignment, competition_assignment
from boundmesh.verdict import Counterexample

floats = st.floats(allow_nan=False, allow_infinity=False)


def found(x: list[float], y: list[float]) -> Counterexample:
    return Counterexample(np.array(x, dtype=np.float64), np.array(y), 0, 0)


def test_tensors_follow_in_the_order_of_the_file_and_rows_before_columns():
    variables = (
        Variable("B", "input", (1,), "float32", None, 4),
        Variable("A", "input", (2, 2), "Real", None, 0),
        Variable("Y", "output", (), "Real", None, 0),
    )
    text = assignment(found([0.5, 0.3, 0.4, 1e-30, -1], [2]), Property((), 5, 1, variables))
    assert text.splitlines() == [
        "B float32 [1]", "-1.0", "A Real [2,2]", "0.5", "0.3", "0.4", "1e-30", "Y Real []", "2.0",
    ]  # fmt: skip


def test_a_property_without_declarations_is_written_as_x_and_y():
    lines = assignment(found([1, 2], [3]), Property((), 2, 1)).splitlines()
    assert lines == ["X Real [2]", "1.0", "2.0", "Y Real [1]", "3.0"]


@given(st.lists(floats, min_size=1, max_size=5), st.lists(floats, min_size=1, max_size=5))
def test_numbers_read_back_as_the_same_floats(x, y):
    lines = assignment(found(x, y), Property((), len(x), len(y))).splitlines()
    values = [float(line) for line in lines if not line.endswith("]")]
    pairs = competition_assignment(found(x, y)).strip().strip("()").split(")\n(")
    assert values == x + y
    assert [float(pair.split()[1]) for pair in pairs] == x + y
    assert pairs[0].startswith("X_0 ") and pairs[-1].startswith(f"Y_{len(y) - 1} ")


def test_outputs_of_a_float32_network_keep_their_value():
    point = Counterexample(np.zeros(1), np.array([0.1], dtype=np.float32), 0, 0)
    assert competition_assignment(point) == "((X_0 0.0)\n(Y_0 0.10000000149011612))\n"


def test_an_input_that_no_float_holds_is_written_as_its_own_decimal():
    exact = {0: Fraction("0.70000000000000000001"), 2: Fraction(1, 3)}
    point = Counterexample(np.array([0.7, 0.7, 1 / 3]), np.array([1.0]), 0, 0, exact)
    assert competition_assignment(point).splitlines()[:3] == [
        "((X_0 0.70000000000000000001)",
        "(X_1 0.7)",
        "(X_2 0.3333333333333333)",
    ]
    assert "0.70000000000000000001" in assignment(point, Property((), 3, 1)).splitlines()
