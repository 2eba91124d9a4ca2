"""Exact numbers are rounded to the side that was asked for, and no farther."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.errors import PropertyError
from boundmesh.rational import (
    array_of,
    decimal,
    is_float,
    outward,
    rational,
    rounded,
    rounded_all,
)

exact = st.fractions() | st.decimals(allow_nan=False, allow_infinity=False, places=12).map(Fraction)


@given(exact | st.floats(allow_nan=False, allow_infinity=False).map(Fraction))
def test_the_float_below_and_the_float_above_enclose_a_number_with_none_between(value):
    low, high = rounded(value, up=False), rounded(value, up=True)
    assert Fraction(low) <= value <= Fraction(high)
    assert high == (low if is_float(value, low) else math.nextafter(low, math.inf))


@given(st.lists(exact | st.integers(-(2**70), 2**70).map(Fraction)), st.booleans())
def test_many_numbers_are_rounded_as_each_of_them_is(values: list[Fraction], up: bool) -> None:
    ends, missed = rounded_all(values, up)
    assert ends.tolist() == [rounded(value, up) for value in values]
    exact = [is_float(value, end) for value, end in zip(values, ends.tolist(), strict=True)]
    assert missed.tolist() == [not each for each in exact]


def test_numbers_beyond_the_range_of_floats_are_rounded_to_its_ends():
    large = Fraction(10) ** 400
    assert (rounded(large, up=True), rounded(-large, up=False)) == (math.inf, -math.inf)
    assert rounded(large, up=False) == -rounded(-large, up=True) == np.finfo(np.float64).max
    assert (rounded(1 / large, up=False), rounded(1 / large, up=True)) == (0.0, 5e-324)


@given(exact)
def test_a_decimal_reads_back_as_the_number_where_it_is_one(value):
    text = decimal(value)
    assert Fraction(text) == value or (10**100 % value.denominator and float(text) == float(value))


@pytest.mark.parametrize(
    "given_as",
    [
        [0.25, 1.0],
        (Fraction(1, 4), 1),
        np.array([0.25, 1], np.float16),
        torch.tensor([0.25, 1.0], dtype=torch.bfloat16, requires_grad=True),
        [Decimal("0.25"), True],
    ],
)
def test_numbers_of_every_kind_become_arrays(given_as):
    ends, missed = outward(array_of(given_as, "it"), up=True)
    assert ends.dtype == np.float64
    assert (ends.tolist(), missed) == ([0.25, 1.0], {})


def test_integers_that_no_float_holds_are_kept_exactly():
    ends, missed = outward(array_of(np.array([2**53 + 1, 3]), "it"), up=True)
    assert ends.tolist() == [2**53 + 2, 3]
    assert missed == {0: 2**53 + 1}


@pytest.mark.parametrize("wrong", [[[1], [1, 2]], ["a"], None, [1j], {}, [Decimal("nan")]])
def test_what_is_no_array_of_real_numbers_is_refused(wrong):
    with pytest.raises(PropertyError, match="expected"):
        array_of(wrong, "the end")


@pytest.mark.parametrize("wrong", [math.nan, -math.inf, "1", None, Fraction(10) ** 400, [1]])
def test_what_is_no_finite_number_is_refused(wrong):
    with pytest.raises(PropertyError, match=r"the bound is .*expected a finite number"):
        rational(wrong, "the bound")
