"""Boxes and balls contain exactly what was written, and refuse what is no region."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.bounds.sweep.region import BoxRegion, region_tensors
from boundmesh.errors import PropertyError
from boundmesh.property import Ball, Box, Case

TENTH, THIRD = Fraction(1, 10), Fraction(1, 3)


@given(
    st.fractions(-2, 2, max_denominator=30),
    st.fractions(0, 1, max_denominator=30),
    st.integers(-3, 3),
)
def test_a_box_of_fractions_contains_what_lies_between_them(low, width, steps):
    box = Box([low], [low + width])
    assert Fraction(float(box.lower[0])) <= low and low + width <= Fraction(float(box.upper[0]))
    for value in (float(low), float(low + width), low, low + width, low + width / 2):
        for _ in range(abs(steps) if isinstance(value, float) else 0):
            value = math.nextafter(value, math.copysign(math.inf, steps))
        assert box.contains([value]) == (low <= Fraction(value) <= low + width)


def test_floats_of_a_range_lie_between_its_least_and_its_most():
    box = Box([TENTH, 0.5, TENTH], [3 * TENTH, 0.5, TENTH])
    # The float64 nearest to 0.1 lies above it, that nearest to 0.3 below it.
    assert box.least.tolist() == [0.1, 0.5, 0.1]
    assert box.most.tolist() == [0.3, 0.5, math.nextafter(0.1, 0)]
    assert (box.lower[0], box.upper[0]) == (math.nextafter(0.1, 0), math.nextafter(0.3, 1))
    assert box.between == {2: TENTH}
    assert not box.contains(np.array([0.2, 0.5, 0.1]))
    assert box.contains(box.point(np.array([0.2, 0.5, 0.1])))
    assert not box.contains(box.point(np.array([0.2, 0.5, math.nextafter(0.1, 1)])))


def test_nan_and_infinity_lie_in_no_region():
    for region in (Box([0], [1]), Ball([0], 1, 2), Box([TENTH], [1]), Ball([0], 1, math.inf)):
        for value in (math.nan, math.inf, -math.inf):
            assert not region.contains(np.array([value]))
            assert not region.contains(np.array([value], dtype=object))


def test_a_box_whose_ends_cross_between_two_floats_is_empty():
    above = TENTH + Fraction(1, 10**30)
    assert Box([above], [TENTH]).empty
    assert not Box([TENTH], [above]).empty
    assert not Box([TENTH], [TENTH]).empty
    assert Box([1], [0]).empty


points = st.lists(st.floats(-100, 100), min_size=1, max_size=5)


radii = (
    st.floats(0, 10) | st.fractions(0, 10) | st.builds(Fraction, st.just(8), st.integers(1, 999))
)


@given(points, radii, st.none() | st.just((-1.0, 0.7)))
def test_a_box_around_a_point_has_the_exact_ends(x, eps, clip):
    box = Box.around(x, eps, clip)
    low, high = (Fraction(-1000), Fraction(1000)) if clip is None else map(Fraction, clip)
    for i, value in enumerate(map(Fraction, x)):
        ends = [min(max(value + side * Fraction(eps), low), high) for side in (-1, 1)]
        for end, outside in zip(ends, (-1, 1), strict=True):
            point = [Fraction(float(each)) for each in box.inner[0]]
            point[i] = end
            assert box.contains(point)
            point[i] = end + outside * Fraction(1, 2**1200)
            assert not box.contains(point)
        assert Fraction(float(box.lower[i])) <= ends[0] and ends[1] <= Fraction(float(box.upper[i]))


def test_a_box_around_a_point_takes_fractions_too():
    box = Box.around([[0.5, 1.0]], TENTH, (0, 1))
    assert (box.shape, box.exact_lower) == ((1, 2), {0: 4 * TENTH, 1: 9 * TENTH})
    assert (box.upper[0, 1], box.exact_upper) == (1.0, {0: 6 * TENTH})


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 8 / 255, -8 / 255, 1e-300, 2.0**-60]), min_size=1))
def test_a_radius_that_no_float_holds_rounds_each_end_to_the_nearest_float_outside(x):
    radius = Fraction(8, 255)
    box = Box.around(x, radius)
    for i, value in enumerate(map(Fraction, x)):
        for end, ends, exact, inward in (
            (value - radius, box.lower, box.exact_lower, math.inf),
            (value + radius, box.upper, box.exact_upper, -math.inf),
        ):
            outer = Fraction(float(ends[i]))
            inner = Fraction(float(np.nextafter(ends[i], inward)))
            assert exact[i] == end
            assert min(outer, inner) < end < max(outer, inner)


def test_inputs_may_be_taken_in_another_order():
    box = Box([TENTH, 2, THIRD], [1, 2, THIRD]).reordered(np.array([2, 0, 1]))
    assert (box.exact_lower, box.exact_upper) == ({1: TENTH, 0: THIRD}, {0: THIRD})
    assert box.contains([THIRD, TENTH, 2])


@given(points, st.floats(0, 10))
def test_a_ball_of_the_maximum_norm_is_its_box(x, radius):
    ball = Ball(x, radius, math.inf)
    (case,) = (Case(ball, ()),)
    assert isinstance(case.region, Box)
    edge = [Fraction(value) + Fraction(radius) for value in x]
    outside = [*edge[:-1], edge[-1] + Fraction(1, 10**40)]
    assert ball.contains(edge) and case.region.contains(edge)
    assert not ball.contains(outside) and not case.region.contains(outside)
    for dtype in (torch.float32, torch.float64):
        region = region_tensors([ball], (len(x),), dtype)
        assert isinstance(region, BoxRegion)
        uppers = [Fraction(value) for value in region.upper[0].tolist()]
        assert all(a <= b for a, b in zip(edge, uppers, strict=True))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tensors_of_a_ball_enclose_it(p, dtype):
    rng = np.random.default_rng(0)
    ball = Ball(rng.normal(size=40), THIRD, p)
    region = region_tensors([ball], (40,), dtype)
    near = [Fraction(value) for value in region.center[0].tolist()]
    moved = [abs(a - Fraction(b)) for a, b in zip(near, ball.center.tolist(), strict=True)]
    spare = Fraction(region.radius.item()) - THIRD
    assert spare >= 0 and sum(each**p for each in moved) <= spare**p


def test_a_radius_that_no_float_holds_is_exact():
    assert Ball([0.0], TENTH, 1).contains([TENTH])
    assert not Ball([0.0], TENTH, 1).contains([0.1])
    assert Ball([0.0], 0.1, 1).contains([0.1])


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_a_cut_ball_contains_what_the_ball_and_the_range_contain(p):
    ball = Ball([0.25, 1.0], THIRD, p, (0, 1))
    assert ball.contains([0, 1]) and ball.contains([Fraction(7, 12), 1])
    assert not ball.contains([Fraction(7, 12) + Fraction(1, 10**40), 1])
    assert not ball.contains([0.25, np.nextafter(1, 2)]) and not ball.contains([-1e-300, 1])
    low, high = ball.box.inner
    assert low[0] == 0 and high[1] == 1 and high[0] <= Fraction(7, 12)
    assert Case(ball, ()).region.contains([0, 1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Box([0, 0], [1]), r"shapes \[2\] and \[1\]"),
        (lambda: Box([math.nan], [1]), "lower end is NaN or infinite"),
        (lambda: Box([0], [math.inf]), "upper end is NaN or infinite"),
        (lambda: Box("a", [1]), "expected real numbers"),
        (lambda: Box([0, [1]], [1, 1]), "expected numbers of one shape"),
        (lambda: Box.around([0.5], -0.1), "radius around the point is negative"),
        (lambda: Box.around([0.5], math.nan), "NaN or infinite"),
        (lambda: Box.around([0.5], [0.1, 0.2]), r"shape \[2\], the point \[1\]"),
        (lambda: Box.around([0.5], 0.1, (1, 0)), "the smaller one first"),
        (lambda: Ball([0], 1, 3), "norm is 3; expected 1, 2 or math.inf"),
        (lambda: Ball([0], 1, "inf"), "norm is 'inf'"),
        (lambda: Ball([0], 1, math.nan), "norm is nan"),
        (lambda: Ball([0], -1, 2), "radius is -1; expected ≥ 0"),
        (lambda: Ball([0], math.nan, 2), "radius is nan"),
        (lambda: Ball([0], [1], 2), "radius is"),
        (lambda: Ball([math.inf], 1, 2), "center is NaN or infinite"),
        (lambda: Ball([TENTH], 1, 2), "no float64 holds"),
        (lambda: Ball(None, 1, 2), "expected"),
        (lambda: Ball([2], 1, 2, (0, 1)), "center lies outside of the clip 0…1"),
        (lambda: Ball([0], 1, 2, 1), "the clip is 1; expected two numbers"),
    ],
)
def test_what_is_no_region_is_refused(build, message):
    with pytest.raises(PropertyError, match=message):
        build()
