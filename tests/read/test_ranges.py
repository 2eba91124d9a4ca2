"""Bounds that are read at once equal those that are read form by form, exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Port
from boundmesh.property import Box, Property
from boundmesh.read import normal_form, ranges, vnnlib
from boundmesh.read.normal_form import ends_of, replaced
from boundmesh.read.query import parse, parsed

COUNT = 6
PORTS = (Port("x", (2, 3)),), (Port("y", (1,)),)
HEAD = {
    "2": "(vnnlib-version <2.0>)\n(declare-network f (declare-input X real [2,3])"
    " (declare-output Y real [1]))\n",
    "1": "".join(f"(declare-const X_{i} Real)\n" for i in range(COUNT))
    + "(declare-const Y_0 Real)\n",
}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read texts of every length as large ones, in pieces of few lines."""
    monkeypatch.setattr(ranges, "LARGE", 0)
    monkeypatch.setattr(ranges, "CHUNK", 90)


def cell(version: str, place: int) -> str:
    return f"X_{place}" if version == "1" else f"X[{place // 3},{place % 3}]"


def boxes(property: Property) -> list[tuple[list[Fraction], list[Fraction]]]:
    found = []
    for case in property.cases:
        box = case.region
        assert isinstance(box, Box)
        sides = ((box.lower, box.exact_lower), (box.upper, box.exact_upper))
        lower, upper = (
            [exact.get(i, Fraction(float(end))) for i, end in enumerate(ends.reshape(-1))]
            for ends, exact in sides
        )
        found.append((lower, upper))
    return found


decimals = (
    st.decimals(-1000, 1000, places=4, allow_nan=False, allow_infinity=False)
    | st.decimals(-9, 9, places=17, allow_nan=False, allow_infinity=False)
    | st.decimals(Decimal("1e-5"), Decimal("9e-5"), places=22)
    | st.integers(-(10**18) + 1, 10**18 - 1).map(Decimal)
    | st.floats(-1, 1, width=32).map(Decimal).map(lambda each: round(each, 17))
)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("version", ["1", "2"])
def test_ranges_read_at_once_are_the_same(version):
    rng = np.random.default_rng(0)
    for _ in range(60):
        lower = rng.integers(-(10**6), 10**6, COUNT)
        upper = lower + rng.integers(0, 10 ** rng.integers(1, 7), COUNT)
        places = int(rng.integers(0, 9))
        lines = []
        for i in range(COUNT):
            low, high = (format(Decimal(int(end)).scaleb(-places), "f") for end in
                         (lower[i], upper[i]))  # fmt: skip
            lines += [f"(assert (>= {cell(version, i)} {low}))\n",
                      f"(assert (<= {cell(version, i)} {high}))  \n"]  # fmt: skip
        rng.shuffle(lines)
        more = f"(assert (or (<= {cell(version, 1)} {low}) (<= {cell(version, 2)} 1)))\n"
        text = HEAD[version] + "".join(lines[:7]) + more + "".join(lines[7:])
        query = parse(text, Path("p"))
        assert query.ranges is not None
        plain = parsed(text, Path("p"), strict=False)
        assert plain.ranges is None
        assert boxes(vnnlib.fit(query, *PORTS)) == boxes(vnnlib.fit(plain, *PORTS))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("version", ["1", "2"])
def test_simple_bounds_of_outputs_leave_those_of_inputs_to_be_read_at_once(version: str) -> None:
    lines = [f"(assert ({sign}= {cell(version, i)} {end}))\n" for i in range(COUNT)
             for sign, end in ((">", "0.1"), ("<", "0.75"))]  # fmt: skip
    output = "Y_0" if version == "1" else "Y[0]"
    text = HEAD[version] + "".join(lines) + f"(assert (>= {output} 1.5))\n"
    query = parse(text, Path("p"))
    assert query.ranges is not None and len(query.assertions) == 1
    too_far = (
        text
        + f"(assert (<= {'X_' if version == '1' else 'X['}{10**30}{']' * (version == '2')} 1))\n"
    )
    with pytest.raises(PropertyError, match="p:"):
        parse(too_far, Path("p"))


@given(decimals)
@settings(max_examples=300)
def test_a_decimal_is_rounded_outward_to_the_nearest_float(decimal):
    number = format(decimal, "f")
    assert ranges.LINE.search(f"(assert (<= X_0 {number}))")
    lines = ranges._lines([("<", "X", "0", "", number), (">", "X", "0", "", number)])
    assert lines is not None
    side = ranges._Side(1)
    assert side.enter(np.array([0]), lines.mantissa[:1], lines.places[:1])
    exact = Fraction(number)
    low, high = side.ends(up=False), side.ends(up=True)
    assert low[0] == high[0] == exact
    assert Fraction(low.value[0]) <= exact <= Fraction(high.value[0])
    assert np.nextafter(low.value[0], np.inf) > exact or low.value[0] == exact
    assert bool(low.rounded[0]) == (Fraction(float(number)) != exact)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "line",
    [
        "(assert (<= X[0,0] 1e-3))",
        "(assert (<= X[0,0] 0.12345678901234567890123))",
        "(assert (<= X[0,1] 0.25))",
        "(assert (<= X[0,0] Y[0]))",
        "; (assert (<= X[0,0] 0.5))",
    ],
)
def test_lines_of_other_forms_are_read_one_by_one(line):
    bounds = [f"(assert ({s} {cell('2', i)} {e}))\n" for i in range(6) for s, e in
              (("<=", "0.75"), (">=", "-0.1"))]  # fmt: skip
    text = HEAD["2"] + "".join(bounds) + line + "\n"
    query, plain = parse(text, Path("p")), parsed(text, Path("p"), strict=False)
    assert boxes(vnnlib.fit(query, *PORTS)) == boxes(vnnlib.fit(plain, *PORTS))


@pytest.mark.usefixtures("at_once")
def test_errors_keep_their_lines_and_contradictions_their_words():
    good = "".join(
        f"(assert (>= {cell('2', i)} 0))\n(assert (<= {cell('2', i)} 1))\n" for i in range(6)
    )
    with pytest.raises(PropertyError, match="p:15: 'Z' is neither"):
        parse(HEAD["2"] + good + "(assert (<= Z 1))\n", Path("p"))
    crossed = HEAD["2"] + good.replace("(>= X[0,0] 0)", "(>= X[0,0] 1.5)")
    property = vnnlib.fit(parse(crossed, Path("p")), *PORTS)
    assert property.cases == () and "≥ 1.5 and ≤ 1.0" in property.warnings[0]
    with pytest.raises(PropertyError, match=r"is no element of X\[2, 3\]"):
        parse(HEAD["2"] + good + "(assert (<= X[2,0] 1))\n", Path("p"))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(-2, 4), st.fractions(max_denominator=1000) | st.integers(-(10**20), 10**20),
            max_size=4,
        ),
        max_size=6,
    ),
    st.booleans(),
    st.sampled_from([1, 12, 2**20]),
)  # fmt: skip
def test_ends_of_many_regions_are_those_of_each_alone(
    every: list[dict[int, int | Fraction]], up: bool, together: int
) -> None:
    """A negative place is an output's, whose ends are no input's."""
    shared = {place: Fraction(place, 3) for place in range(5)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normal_form, "TOGETHER", together)
        found = list(replaced(ends_of(shared, 5, up), every, up))
    assert len(found) == len(every)
    for own, (floats, exact) in zip(every, found, strict=True):
        for place in range(5):
            end = Fraction(own.get(place, shared[place]))
            near = Fraction(float(floats[place]))
            assert near >= end if up else near <= end
            assert abs(near - end) <= abs(end) * Fraction(1, 2**52)
            assert exact.get(place, near) == end
