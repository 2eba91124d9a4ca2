"""Exact numbers, and how they are rounded to float64."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from boundmesh.errors import PropertyError

Exact = int | Fraction
"""An exact number. An int is used for whole numbers, as it is faster than a Fraction."""

LARGEST = Fraction(sys.float_info.max)
# The most digits of a number that is printed exactly.
DECIMALS = 100
EXACT = Context(prec=3 * DECIMALS)
# Whole numbers up to here are float64 numbers.
WHOLE = 2**53
SPLITTER = 2.0**27 + 1
"""Times a float64, it splits the number into two halves (Dekker)."""


def unwrapped(number: Any) -> Any:
    """Return the Python number that a scalar of NumPy, or an array or tensor without axes, holds.

    Anything else is returned as it is.
    """
    if isinstance(number, np.generic):
        return number.item()
    torch = sys.modules.get("torch")
    scalar = isinstance(number, np.ndarray) or (torch and isinstance(number, torch.Tensor))
    return number.item() if scalar and number.ndim == 0 else number


def rational(number: object, what: str) -> Fraction:
    """Return the number as a Fraction, exactly.

    Raises PropertyError, which names `what` the number is, for anything but a finite real number
    within the range of float64.
    """
    given = unwrapped(number)
    exact: Fraction | None = None
    if isinstance(given, int | float | Decimal | Fraction):
        try:
            exact = Fraction(given)
        except (ValueError, OverflowError):
            exact = None
    if exact is not None and abs(exact) <= LARGEST:
        return exact
    met = decimal(exact) if exact is not None else f"{given!r:.80}"
    raise PropertyError(f"{what} is {met}; expected a finite number within float64's range")


def radius_of(radius: Any, what: str = "eps") -> float | Fraction:
    """Return a radius exactly: a number, or text such as `8/255` or `0.1`.

    The result is a float where one holds it. Raises PropertyError for anything else, and for a
    negative radius.
    """
    exact = number_of(radius, what)
    if exact < 0:
        raise PropertyError(f"{what} is {radius!r:.80}; expected a number ≥ 0")
    near = float(exact)
    return near if Fraction(near) == exact else exact


def number_of(value: Any, what: str) -> Fraction:
    """Return a number, or text such as `8/255`, exactly; raise PropertyError for others."""
    if isinstance(value, str):
        try:
            value = Fraction(value)
        except (ValueError, ZeroDivisionError):
            raise PropertyError(
                f"{what} is '{value}'; expected a number such as 0.03 or 8/255"
            ) from None
    elif not isinstance(value, int | float | Fraction):
        found = array_of(value, what)
        value = found.reshape(-1)[0] if found.size == 1 else value
    return rational(value, what)


def rounded(value: Exact, up: bool) -> float:
    """The smallest float64 that is not below the value (`up`), or the largest not above it."""
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


def is_float(value: Exact, other: float) -> bool:
    """Return True if a finite float64 equals the value exactly."""
    return other.as_integer_ratio() == (value.numerator, value.denominator)


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


def array_of(values: Any, what: str) -> np.ndarray:
    """Return numbers, sequences, arrays or tensors as one array.

    It is a float64 array where that is exact, else an object array of Fractions. Raises
    PropertyError, which names `what` the values are, for anything that is no array of real numbers.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise PropertyError(f"{what} is no array; expected numbers of one shape") from None
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return array.astype(np.float64, copy=False)
    if array.dtype.kind in "biu":
        if not array.size or max(abs(int(array.min())), abs(int(array.max()))) <= WHOLE:
            return array.astype(np.float64)
        array = array.astype(object)
    if array.dtype.kind != "O":
        raise PropertyError(
            f"{what} has elements of type {array.dtype}; expected real numbers, at most float64"
        )
    exact = [rational(value, f"an element of {what}") for value in array.reshape(-1).tolist()]
    fractions = np.empty(len(exact), dtype=object)
    fractions[:] = exact
    return fractions.reshape(array.shape)


def outward(values: np.ndarray, up: bool) -> tuple[np.ndarray, dict[int, Fraction]]:
    """Round an array of `array_of` to float64, up or down.

    The second result maps the flat place of each element that no float64 holds to its exact value.
    """
    if values.dtype != object:
        return values, {}
    exact = values.reshape(-1).tolist()
    ends, missed = rounded_all(exact, up)
    return ends.reshape(values.shape), {i: exact[i] for i in np.flatnonzero(missed).tolist()}


def sums(
    x: np.ndarray,
    change: np.ndarray | np.float64,
    low: float,
    high: float,
    up: bool,
    rest: Fraction = Fraction(0),
) -> tuple[np.ndarray, Mapping[int, Fraction]]:
    """Return `x + change + rest`, cut to low and high, and the exact sums that no float64 holds.

    `rest` is at most half of the last place of `change`, which is a single number if `rest` is not
    zero. The first result is float64 in the shape of x, rounded up or down. The second maps the
    flat place of each sum that was rounded to its exact value.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total = x + change
        # The rounding error of the sum (Knuth's TwoSum).
        part = total - x
        lost = (x - (total - part)) + (change - part)
    sign = _signs(lost, rest)
    away = np.nextafter(total, math.inf if up else -math.inf)
    close = _close(total, lost, rest)
    total = np.where((sign > 0) if up else (sign < 0), away, total)
    for i in np.flatnonzero(~close).tolist():
        exact = Fraction(float(x.flat[i])) + Fraction(float(change)) + rest
        total.flat[i] = rounded(exact, up)
        sign.flat[i] = not is_float(exact, float(total.flat[i]))
    # Where the cut moves a sum, the result is `low` or `high`, which are exact.
    uncut = (low < total) & (total <= high) if up else (low <= total) & (total < high)
    missed = (sign != 0) & uncut
    ends = np.clip(total, low, high)
    if not missed.any():
        return ends, {}
    changes = np.broadcast_to(change, x.shape).reshape(-1)
    return ends, Sums(x.reshape(-1), changes, missed.reshape(-1), rest)


def _signs(lost: np.ndarray, rest: Fraction) -> np.ndarray:
    """Return the sign of `lost + rest`, exactly, for float64 `lost`; it is 0 for NaN."""
    # A float that is above the float nearest to −rest is above −rest itself.
    nearest = float(-rest)
    even = Fraction(nearest) + rest
    sign = np.sign(np.nan_to_num(lost) - nearest)
    return np.where(lost == nearest, (even > 0) - (even < 0), sign).astype(np.int64)


def _close(total: np.ndarray, lost: np.ndarray, rest: Fraction) -> np.ndarray:
    """Return the mask of totals from which `lost + rest` leads to no other float64."""
    if not rest:
        return np.ones(total.shape, dtype=bool)
    with np.errstate(invalid="ignore"):
        steps = [np.abs(np.nextafter(total, to) - total) for to in (math.inf, -math.inf)]
        close: np.ndarray = np.abs(lost) + abs(float(rest)) < 0.99 * np.minimum(*steps)
        return close


@dataclass(frozen=True, eq=False)
class Sums(Mapping[int, Fraction]):
    """A mapping from the places i where `missed` is True to the sums `x[i] + change[i] + rest`.

    x       the first terms, flat float64
    change  the second terms, flat float64
    missed  a flat mask of the places where the float64 sum was rounded
    rest    the third term, exact
    """

    x: np.ndarray
    change: np.ndarray
    missed: np.ndarray
    rest: Fraction = Fraction(0)

    def __getitem__(self, i: int) -> Fraction:
        if not self.missed[i]:
            raise KeyError(i)
        return Fraction(float(self.x[i])) + Fraction(float(self.change[i])) + self.rest

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.missed).tolist())

    def __len__(self) -> int:
        return int(self.missed.sum())
