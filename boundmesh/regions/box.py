"""Boxes of inputs, held exactly as they were given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.rational import array_of, outward, sums
from boundmesh.regions.clip import ends_of

Point = np.ndarray | Sequence[float | Fraction]


@dataclass(frozen=True, eq=False, init=False)
class Box:
    """All inputs with `lower ≤ x ≤ upper`; the box is empty where a lower end exceeds the upper.

    The ends are given as numbers, sequences, arrays or tensors of one shape, which is the input's
    or flat. They may hold Fractions and Decimals.

    lower        the lower ends, float64; one that no float64 holds is rounded down
    upper        the upper ends, float64; one that no float64 holds is rounded up
    exact_lower  the exact value of each lower end that was rounded, by its flat place
    exact_upper  the exact value of each upper end that was rounded, by its flat place

    Raises PropertyError for anything else, and for NaN.
    """

    lower: np.ndarray
    upper: np.ndarray
    exact_lower: Mapping[int, Fraction] = field(repr=False)
    exact_upper: Mapping[int, Fraction] = field(repr=False)

    def __init__(
        self,
        lower: Any,
        upper: Any,
        exact_lower: Mapping[int, Fraction] | None = None,
        exact_upper: Mapping[int, Fraction] | None = None,
    ) -> None:
        sides = (("lower", lower, exact_lower, False), ("upper", upper, exact_upper, True))
        for name, numbers, known, up in sides:
            end = array_of(numbers, f"the box's {name} end")
            if end.dtype != object and not np.isfinite(end).all():
                raise PropertyError(
                    f"the box's {name} end is NaN or infinite; every input needs a finite range"
                )
            floats, exact = outward(end, up)
            object.__setattr__(self, name, floats)
            object.__setattr__(self, f"exact_{name}", exact or known or {})
        if self.lower.shape != self.upper.shape:
            raise PropertyError(
                f"the box's ends have the shapes {list(self.lower.shape)} and "
                f"{list(self.upper.shape)}; give both the shape of the input"
            )

    @staticmethod
    def around(x: Any, eps: Any, clip: tuple[float, float] | None = None) -> Box:
        """Make the box `[x − eps, x + eps]`, computed exactly and cut to `clip`.

        `eps` is a number or an array like x. Raises PropertyError for numbers that are not finite,
        and for an `eps` that is negative or does not fit x.
        """
        x, eps = array_of(x, "the point"), array_of(eps, "the radius")
        for numbers in (x, eps):
            if numbers.dtype != object and not np.isfinite(numbers).all():
                raise PropertyError("the point or its radius is NaN or infinite")
        if not np.all(eps >= 0):
            raise PropertyError("the radius around the point is negative; expected ≥ 0")
        if eps.ndim and eps.shape != x.shape:
            raise PropertyError(
                f"the radius has the shape {list(eps.shape)}, the point {list(x.shape)}; "
                "give a number, or one for each input"
            )
        low, high = (-math.inf, math.inf) if clip is None else ends_of(clip)
        if x.dtype != object and eps.dtype == object and not eps.ndim:
            return _around(x, eps.item(), low, high)
        if x.dtype == object or eps.dtype == object:
            lower, upper = _fractions(x) - _fractions(eps), _fractions(x) + _fractions(eps)
            return Box(np.clip(lower, low, high), np.clip(upper, low, high))
        lower, exact_lower = sums(x, -eps, low, high, up=False)
        upper, exact_upper = sums(x, eps, low, high, up=True)
        return Box(lower, upper, exact_lower, exact_upper)

    def __repr__(self) -> str:
        widest = (self.upper - self.lower).max(initial=0.0)
        return f"Box({self.size} inputs of shape {list(self.shape)}, the widest range {widest:.6g})"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lower.shape

    @property
    def size(self) -> int:
        return self.lower.size

    @cached_property
    def empty(self) -> bool:
        """True if no input lies inside."""
        if (self.lower > self.upper).any():
            return True
        if not self.exact_lower and not self.exact_upper:
            return False
        # Exact ends can cross only where their enclosing float64 numbers are neighbours or equal.
        beside = np.nextafter(self.lower, math.inf) >= self.upper
        ranges = map(self._range, np.flatnonzero(beside).tolist())
        return any(low > high for low, high in ranges)

    @cached_property
    def least(self) -> np.ndarray:
        """The smallest float64 of each range, flat."""
        return _stepped_in(self.lower, self.exact_lower, math.inf)

    @cached_property
    def most(self) -> np.ndarray:
        """The largest float64 of each range, flat; below `least` where a range holds none."""
        return _stepped_in(self.upper, self.exact_upper, -math.inf)

    @cached_property
    def between(self) -> Mapping[int, Fraction]:
        """The middle of every range that holds real numbers but no float64, by its flat place."""
        ends = {}
        for i in np.flatnonzero(self.least > self.most).tolist():
            low, high = self._range(i)
            if low <= high:
                ends[i] = (low + high) / 2
        return ends

    @cached_property
    def inner(self) -> tuple[np.ndarray, np.ndarray]:
        """`least` and `most`, flat float64 arrays.

        Where a range holds no float64, both are the float64 nearest to its middle.
        """
        if not self.between:
            return self.least, self.most
        places = np.fromiter(self.between, dtype=np.int64)
        near = [float(middle) for middle in self.between.values()]
        lower, upper = self.least.copy(), self.most.copy()
        lower[places] = upper[places] = near
        return lower, upper

    def point(self, x: np.ndarray) -> np.ndarray:
        """Return the flat float64 point x with some coordinates made exact.

        Where a range holds no float64, a coordinate that is the float64 nearest to the range's
        middle is replaced by that middle, a Fraction.
        """
        if not self.between:
            return x
        exact = x.astype(object)
        for i, middle in self.between.items():
            if x[i] == float(middle):
                exact[i] = middle
        return exact

    def contains(self, x: Point) -> bool:
        """Return True if the flat point x, of floats or Fractions, lies inside, without tolerance.

        A point with NaN or infinity lies outside.
        """
        given = np.asarray(x)
        if given.size != self.size:
            return False
        if given.dtype != object:
            x = given.reshape(-1).astype(np.float64)
            return bool(((self.least <= x) & (x <= self.most)).all())
        values = given.reshape(-1)
        floats = values.astype(np.float64)
        inside = (self.least <= floats) & (floats <= self.most)
        for i, value in enumerate(values.tolist()):
            if isinstance(value, Fraction):
                low, high = self._range(i)
                inside[i] = low <= value <= high
        return bool(inside.all())

    def reordered(self, order: np.ndarray) -> Box:
        """Return the flat box whose input j is this box's input `order[j]`, for a permutation."""
        place = np.argsort(order)
        lower, upper = (
            {int(place[i]): end for i, end in exact.items()}
            for exact in (self.exact_lower, self.exact_upper)
        )
        ends = self.lower.reshape(-1)[order], self.upper.reshape(-1)[order]
        return Box(*ends, lower, upper)

    def _range(self, i: int) -> tuple[Fraction, Fraction]:
        low, high = self.exact_lower.get(i), self.exact_upper.get(i)
        return (
            Fraction(float(self.lower.flat[i])) if low is None else low,
            Fraction(float(self.upper.flat[i])) if high is None else high,
        )


def _stepped_in(ends: np.ndarray, exact: Mapping[int, Fraction], toward: float) -> np.ndarray:
    """Return the ends, flat; those that were rounded outward move to the next float64 inward."""
    flat = ends.reshape(-1)
    if not exact:
        return flat
    places = np.fromiter(exact, dtype=np.int64, count=len(exact))
    flat = flat.copy()
    flat[places] = np.nextafter(flat[places], toward)
    return flat


def _around(x: np.ndarray, eps: Fraction, low: float, high: float) -> Box:
    """Make the box of `Box.around` for floats x and a radius that no float64 holds."""
    near = np.float64(float(eps))
    rest = eps - Fraction(float(near))
    lower, exact_lower = sums(x, -near, low, high, up=False, rest=-rest)
    upper, exact_upper = sums(x, near, low, high, up=True, rest=rest)
    return Box(lower, upper, exact_lower, exact_upper)


def _fractions(values: np.ndarray) -> np.ndarray:
    exact = np.empty(values.size, dtype=object)
    exact[:] = [Fraction(value) for value in values.reshape(-1).tolist()]
    return exact.reshape(values.shape)
