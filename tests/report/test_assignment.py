"""Counterexamples are written as the standards say and read back bit for bit."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.property import Atom, Box, Case, Clause, Property, Variable
from boundmesh.report.assignment import assignment, competition_assignment
from boundmesh.verdict import Counterexample

floats = st.floats(allow_nan=False, allow_infinity=False)


def found(x: list[float], y: list[float]) -> Counterexample:
    return Counterexample(np.array(x, dtype=np.float64), np.array(y), 0, 0)


def about(
    inputs: int,
    outputs: int,
    *variables: Variable,
    box: Box | None = None,
    atom: Atom | None = None,
) -> Property:
    """A property that the point breaks that lies in the box, and meets the atom."""
    everything = Box(np.full(inputs, -sys.float_info.max), np.full(inputs, sys.float_info.max))
    atoms = () if atom is None else (atom,)
    return Property((Case(box or everything, (Clause(atoms),)),), inputs, outputs, variables)


def test_tensors_follow_in_the_order_of_the_file_and_rows_before_columns():
    variables = (
        Variable("B", "input", (1,), "float32", None, 4),
        Variable("A", "input", (2, 2), "Real", None, 0),
        Variable("Y", "output", (), "Real", None, 0),
    )
    text = assignment(found([0.5, 0.3, 0.4, 1e-30, -1], [2]), about(5, 1, *variables))
    assert text.splitlines() == [
        "B float32 [1]", "-1.0", "A Real [2,2]", "0.5", "0.3", "0.4", "1e-30", "Y Real []", "2.0",
    ]  # fmt: skip


def test_a_property_without_declarations_is_written_as_x_and_y():
    lines = assignment(found([1, 2], [3]), about(2, 1)).splitlines()
    assert lines == ["X Real [2]", "1.0", "2.0", "Y Real [1]", "3.0"]


@given(st.lists(floats, min_size=1, max_size=5), st.lists(floats, min_size=1, max_size=5))
def test_numbers_read_back_as_the_same_floats(x, y):
    prop = about(len(x), len(y))
    lines = assignment(found(x, y), prop).splitlines()
    values = [float(line) for line in lines if not line.endswith("]")]
    pairs = competition_assignment(found(x, y), prop).strip().strip("()").split(")\n(")
    assert values == x + y
    assert [float(pair.split()[1]) for pair in pairs] == x + y
    assert pairs[0].startswith("X_0 ") and pairs[-1].startswith(f"Y_{len(y) - 1} ")


def test_outputs_of_a_float32_network_keep_their_value():
    point = Counterexample(np.zeros(1), np.array([0.1], dtype=np.float32), 0, 0)
    text = competition_assignment(point, about(1, 1))
    assert text == "((X_0 0.0)\n(Y_0 0.10000000149011612))\n"


def test_an_input_that_no_float_holds_is_written_as_its_own_decimal():
    exact = {0: Fraction("0.70000000000000000001"), 2: Fraction(1, 3)}
    point = Counterexample(np.array([0.7, 0.7, 1 / 3]), np.array([1.0]), 0, 0, exact)
    assert competition_assignment(point, about(3, 1)).splitlines()[:3] == [
        "((X_0 0.70000000000000000001)",
        "(X_1 0.7)",
        "(X_2 0.3333333333333333)",
    ]
    assert "0.70000000000000000001" in assignment(point, about(3, 1)).splitlines()


TENTH = 0.10000000149011611938
"""The float32 next to 0.1 begins with these digits; the shortest decimal of it, ending in 612, is
above it."""


def test_what_is_written_breaks_the_property_as_exact_decimals_too() -> None:
    single = np.float32(TENTH)
    exact = Fraction(float(single))
    assert Fraction(repr(float(single))) > exact
    point = Counterexample(np.array([TENTH]), np.array([single]), 0, 0)
    digits = "0.100000001490116119384765625"
    box = Box([0], [exact])
    below = Atom((), ((0, Fraction(1)),), exact)
    for prop in (about(1, 1, box=box), about(1, 1, atom=below), about(1, 1, box=box, atom=below)):
        assert assignment(point, prop).splitlines()[1::2] == [digits, digits]
        assert competition_assignment(point, prop) == f"((X_0 {digits})\n(Y_0 {digits}))\n"
    wide = about(1, 1, box=Box([0], [1]), atom=Atom((), ((0, Fraction(1)),), Fraction(1)))
    assert assignment(point, wide).splitlines()[1::2] == [repr(TENTH)] * 2


def test_an_infinite_output_is_written_beside_the_digits_of_others() -> None:
    point = Counterexample(np.array([TENTH]), np.array([0.5, np.inf]), 0, 0)
    prop = about(1, 2, box=Box([0], [Fraction(TENTH)]), atom=Atom((), ((0, 1.0),), 1.0))
    lines = assignment(point, prop).splitlines()
    assert lines[1] == "0.100000001490116119384765625" and lines[3:] == ["0.5", "inf"]
