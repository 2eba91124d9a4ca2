"""Exact numbers: how they are rounded to float64 and written."""

from __future__ import annotations

import math
import sys
from decimal import Context, Decimal
from fractions import Fraction

Exact = int | Fraction
"""An exact number. An int is used for whole numbers, as it is faster than a Fraction."""

LARGEST = Fraction(sys.float_info.max)
# The most digits of a number that is printed exactly.
DECIMALS = 100
EXACT = Context(prec=3 * DECIMALS)
# Whole numbers up to here are float64 numbers.
WHOLE = 2**53


def rounded(value: Exact, up: bool) -> float:
    """Return the smallest float64 that is not below the value (`up`), or the largest not above."""
    numerator, denominator = value.numerator, value.denominator
    try:
        nearest = numerator / denominator
    except OverflowError:
        end = math.inf if up == (value > 0) else sys.float_info.max
        return end if value > 0 else -end
    a, b = nearest.as_integer_ratio()
    above = a * denominator - numerator * b
    if above == 0 or (above > 0) == up:
        return nearest
    return math.nextafter(nearest, math.inf if up else -math.inf)


def is_float(value: Exact, number: float) -> bool:
    """Return True if a finite float64 equals the value exactly."""
    return number.as_integer_ratio() == (value.numerator, value.denominator)


def decimal(value: float | Exact) -> str:
    """Return the value as a decimal.

    For a float it is the shortest decimal that reads back as the same float. A Fraction is written
    exactly where its decimal is short, else as the float64 nearest to it.
    """
    if isinstance(value, int | Fraction):
        magnitude, denominator, places = abs(Fraction(value)), value.denominator, 0
        while places < DECIMALS and 10**places % denominator:
            places += 1
        if 10**places % denominator == 0 and magnitude < 10**DECIMALS:
            digits = value.numerator * (10**places // denominator)
            written = Decimal(digits).scaleb(-places, EXACT)
            return str(written) if places else f"{written}.0"
        if magnitude > LARGEST:
            return "beyond float64's range"
    return repr(float(value))


def fraction(value: Fraction) -> str:
    """Return the value as `1/10`, or as the nearest float64 where its fraction is very long."""
    return str(value) if value.denominator < 10**DECIMALS else repr(float(value))
