"""Rounds arrays of exact numbers to float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from boundmesh.rational.numbers import WHOLE, Exact, is_float, rounded

SPLITTER = 2.0**27 + 1
"""Times a float64, it splits the number into two halves (Dekker)."""


def quotients(
    numerators: np.ndarray, denominators: np.ndarray, up: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return quotients rounded up or down to float64, and the mask of those that are not exact.

    Numerators are int64 and below 10¹⁸ in magnitude. Denominators are float64, whole and above 0,
    at most 10²².
    """
    toward, side = (math.inf, 1) if up else (-math.inf, -1)
    high = numerators.astype(np.float64)
    low = (numerators - high.astype(np.int64)).astype(np.float64)

    def beyond(value: np.ndarray) -> np.ndarray:
        """Return the sign of `numerators − value·denominators`, exactly, times the side.

        The product is split into p + e (Dekker). `high − p` is exact, as both are close (Sterbenz).
        Its sum with `low` is exact, as it is a small whole number or `low` is 0; e is compared.
        """
        product, error = _product(value, denominators)
        rest = (high - product) + low
        sign: np.ndarray = (rest > error).astype(np.int8) - (rest < error).astype(np.int8)
        return side * sign

    # The first value is less than 1.5 units in the last place off, or 3 of the next binade.
    value = high / denominators
    sign = beyond(value)
    while (sign > 0).any():
        value = np.where(sign > 0, np.nextafter(value, toward), value)
        sign = beyond(value)
    while low.any():
        back = np.nextafter(value, -toward)
        enough = beyond(back) <= 0
        if not enough.any():
            break
        value = np.where(enough, back, value)
    return value, beyond(value) != 0


def _product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rounded product and its rounding error, which add up to a·b exactly."""
    product = a * b
    high_a, high_b = SPLITTER * a, SPLITTER * b
    high_a, high_b = high_a - (high_a - a), high_b - (high_b - b)
    low_a, low_b = a - high_a, b - high_b
    error = ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
    return product, error


def rounded_all(values: Sequence[Exact], up: bool) -> tuple[np.ndarray, np.ndarray]:
    """Apply `rounded` to every value.

    Returns a flat float64 array, and the mask of its finite elements that are not the exact value.
    """
    try:
        pairs = np.array([value.as_integer_ratio() for value in values], dtype=np.int64)
    except OverflowError:
        pairs = np.full((len(values), 2), 2 * WHOLE)
    pairs = pairs.reshape(-1, 2)
    small = np.all((pairs >= -WHOLE) & (pairs <= WHOLE), axis=1)
    whole = np.where(small[:, None], pairs, 1)
    ends, missed = quotients(whole[:, 0], whole[:, 1].astype(np.float64), up)
    for i in np.flatnonzero(~small).tolist():
        ends[i] = end = rounded(values[i], up)
        missed[i] = math.isfinite(end) and not is_float(values[i], end)
    return ends, missed


def outward(values: np.ndarray, up: bool) -> tuple[np.ndarray, dict[int, Fraction]]:
    """Round an array of `array_of` to float64, up or down.

    The second result maps the flat place of each element that no float64 holds to its exact value.
    """
    if values.dtype != object:
        return values, {}
    exact = values.reshape(-1).tolist()
    ends, missed = rounded_all(exact, up)
    return ends.reshape(values.shape), {i: exact[i] for i in np.flatnonzero(missed).tolist()}
