"""Adds arrays of floats exactly, and rounds the sums to one side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from boundmesh.rational.numbers import is_float, rounded


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
