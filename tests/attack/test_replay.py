"""What is no counterexample to ONNX Runtime is none."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from boundmesh.attack.replay import Replay, representable
from boundmesh.errors import ReadError
from boundmesh.graph.graph import Port
from boundmesh.property import Atom, Ball, Box, Case, Clause, Property
from tests.attack.networks import affine, identity, two_to_two

ANY = Clause(())


def property_of(region: Box | Ball, *clauses: Clause, inputs: int = 1, outputs: int = 1):
    return Property((Case(region, clauses),), inputs, outputs)


def box(lower, upper) -> Box:
    return Box(np.array(lower, np.float64), np.array(upper, np.float64))


def at_most(bound: float, strict: bool = False) -> Clause:
    return Clause((Atom((), ((0, 1.0),), bound, strict),))


def at_least(bound: float, strict: bool = False) -> Clause:
    return Clause((Atom((), ((0, -1.0),), -bound, strict),))


def test_a_point_one_ulp_outside_of_the_box_is_refused():
    replay, property = Replay(identity(2)), property_of(box([0, 0], [0.3, 1]), ANY, inputs=2)
    assert replay(property, 0, np.array([0.3, 1.0])) is not None
    assert replay(property, 0, np.array([np.nextafter(0.3, 1), 1.0])) is None
    assert replay(property, 0, np.array([0.3, np.nextafter(0, -1)])) is None
    assert replay(property, 0, np.array([np.nan, 0.5])) is None


def test_a_point_one_ulp_outside_of_the_ball_is_refused():
    replay, ball = Replay(identity(2)), Ball(np.zeros(2), 5.0, 2)
    assert replay(property_of(ball, ANY, inputs=2), 0, np.array([3.0, 4.0])) is not None
    assert replay(property_of(ball, ANY, inputs=2), 0, np.array([3, np.nextafter(4, 5)])) is None
    ball = Ball(np.zeros(2), 1.0, 1)
    assert replay(property_of(ball, ANY, inputs=2), 0, np.array([0.25, -0.75])) is not None
    assert replay(property_of(ball, ANY, inputs=2), 0, np.array([0.25, -0.7500001])) is None


def test_strict_atoms_do_not_hold_at_their_bound():
    replay, x = Replay(identity(1)), np.array([0.5])
    region = box([0], [1])
    assert replay(property_of(region, at_most(0.5)), 0, x) is not None
    assert replay(property_of(region, at_most(0.5, strict=True)), 0, x) is None
    assert replay(property_of(region, at_least(0.5)), 0, x) is not None
    assert replay(property_of(region, at_least(0.5, strict=True)), 0, x) is None


def test_sums_are_exact_however_their_terms_cancel():
    # 1e16 + 1 − 1e16 is 0 in float64 and 1 in truth.
    network = affine(([[1e16], [1.0], [-1e16]], [0, 0, 0]), double=True)
    sum_of_three = Atom((), ((0, 1.0), (1, 1.0), (2, 1.0)), 0.5)
    replay, region = Replay(network), box([1], [1])
    less = property_of(region, Clause((sum_of_three,)), outputs=3)
    assert replay(less, 0, np.array([1.0])) is None
    more = replace(sum_of_three, bound=1.0)
    equal = property_of(region, Clause((more,)), outputs=3)
    assert replay(equal, 0, np.array([1.0])) is not None


def test_an_output_that_is_nan_or_infinite_satisfies_nothing():
    replay = Replay(affine(([[1e38]], [0]), ([[1e38], [-1e38]], [0, 0])))
    both = at_least(-1.0), at_most(1.0), Clause((Atom((), ((1, 1.0),), 0.0),))
    property = property_of(box([0], [9]), *both, outputs=2)
    assert replay(property, 0, np.array([9.0])) is None
    overflow = Replay(affine(([[3e38], [3e38]], [0, 0]), ([[1, -1]], [0])))
    assert overflow(property_of(box([0], [9]), ANY), 0, np.array([9.0])) is None


def test_the_case_and_clause_that_hold_are_named():
    cases = (Case(box([0], [1]), (at_least(9),)), Case(box([2], [3]), (at_least(9), at_most(2.5))))
    found = Replay(identity(1))(Property(cases, 1, 1), 1, np.array([2.25]))
    assert found is not None
    assert (found.case, found.clause, found.output.tolist()) == (1, 1, [2.25])


def test_the_network_sees_the_point_rounded_to_its_type():
    found = Replay(identity(1))(property_of(box([0.1], [0.1]), ANY), 0, np.array([0.1]))
    assert found is not None
    assert found.input.tolist() == [0.1]
    assert found.output.tolist() == [float(np.float32(0.1))]


def test_an_input_fixed_to_a_decimal_is_that_decimal():
    tenth = Fraction("0.1")
    less = Clause((Atom(((0, 1),), (), tenth),))
    region = Box([tenth], [tenth])
    x = representable(region, np.array([7.0]), (Port("x", (1,), "float32"),))
    assert x.tolist() == [0.1]
    found = Replay(identity(1))(property_of(region, less), 0, x)
    assert found is not None
    assert (found.input.tolist(), found.exact, list(found.point)) == ([0.1], {0: tenth}, [tenth])
    assert found.output.tolist() == [float(np.float32(0.1))]
    more = Clause((Atom(((0, -1),), (), -tenth, strict=True),))
    assert Replay(identity(1))(property_of(region, more), 0, x) is None
    assert Replay(identity(1))(property_of(region, less), 0, np.nextafter(x, 1)) is None


def test_a_decimal_that_rounds_to_another_float32_than_its_float64_is_no_point():
    # Just above the middle between 1 and the next float32: its float64 is the middle.
    middle = Fraction(1) + Fraction(1, 2**24)
    for away in (Fraction(1, 2**60), -Fraction(1, 2**60)):
        region = Box([middle + away], [middle + away])
        x = representable(region, np.array([1.0]), (Port("x", (1,), "float32"),))
        assert x.tolist() == [float(middle)]
        assert Replay(identity(1))(property_of(region, ANY), 0, x) is None
    region = Box([middle + Fraction(1, 2**40)], [middle + Fraction(1, 2**40)])
    x = representable(region, np.array([1.0]), (Port("x", (1,), "float32"),))
    found = Replay(identity(1))(property_of(region, ANY), 0, x)
    assert found is not None and found.output.tolist() == [float(np.nextafter(np.float32(1), 2))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_points_of_a_box_of_decimals_lie_in_it(dtype):
    ends = [Fraction(n, 10) for n in range(1, 30)], [Fraction(n + n % 3, 10) for n in range(1, 30)]
    region, port = Box(*ends), (Port("x", (29,), dtype),)
    for x in (np.full(29, -5.0), np.full(29, 5.0), np.linspace(0, 3, 29)):
        assert region.contains(region.point(representable(region, x, port)))


def test_several_inputs_and_outputs_keep_the_order_of_their_ports():
    property = property_of(box([0, 0, 0], [1, 2, 3]), ANY, inputs=3, outputs=3)
    found = Replay(two_to_two())(property, 0, np.array([1.0, 2.0, 3.0]))
    assert found is not None
    assert found.output.tolist() == [2, 4, 4]


def test_a_network_without_a_source_cannot_be_replayed():
    with pytest.raises(ReadError, match="no ONNX source"):
        Replay(replace(identity(1), source=None))(property_of(box([0], [1]), ANY), 0, np.zeros(1))


widths = st.floats(0, 1e-6) | st.floats(0, 10) | st.just(0.0)


@given(st.floats(-100, 100), widths, st.floats(-200, 200))
def test_rounded_points_stay_inside_and_are_floats_of_the_type_where_there_are_any(low, width, x):
    high = low + width
    assume(low <= high)
    port = (Port("x", (1,), "float32"),)
    point = representable(box([low], [high]), np.array([x]), port)[0]
    assert low <= point <= high
    inside = [np.float32(low), np.nextafter(np.float32(low), np.float32(np.inf))]
    if any(low <= float(value) <= high for value in inside):
        assert Fraction(float(np.float32(point))) == Fraction(float(point))


def test_rounding_moves_a_representable_point_nowhere():
    x = np.array([0.25, float(np.float32(0.1)), 1 / 3])
    ports = Port("a", (2,), "float32"), Port("b", (1,), "float64")
    assert representable(box([0, 0, 0], [1, 1, 1]), x, ports).tolist() == x.tolist()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_points_pulled_into_a_ball_lie_in_the_exact_ball(p, kind):
    rng = np.random.default_rng(0)
    ball = Ball(rng.normal(size=500) * 10, 0.3, p)
    for scale in (1e-4, 1, 100):
        x = ball.center + rng.normal(size=500) * scale
        point = representable(ball, x, (Port("x", (500,), kind),))
        assert ball.contains(point)
        if scale == 100:
            assert np.linalg.norm(point - ball.center, ord=p) > 0.3 * (1 - 1e-3)
