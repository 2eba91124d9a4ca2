"""Arrays of rational numbers: integers over one common denominator, which NumPy adds and multiplies
as objects, far faster than one Fraction at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Denominators that are longer than this many bits are reduced to lowest terms.
LONG = 512


@dataclass(frozen=True)
class Rational:
    """The array `numerators / denominator`; numerators are Python integers in an object array."""

    numerators: np.ndarray
    denominator: int = 1

    @staticmethod
    def of(values: Iterable[object] | np.ndarray) -> Rational:
        """The exact values of numbers (floats, integers, Fractions), in their array's shape."""
        array = np.asarray(values)
        pairs = [as_ratio(value) for value in array.reshape(-1).tolist()]
        common = math.lcm(*(below for _, below in pairs)) if pairs else 1
        return Rational(integers([a * (common // b) for a, b in pairs], array.shape), common)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.numerators.shape

    def with_numerators(self, numerators: np.ndarray) -> Rational:
        return Rational(numerators, self.denominator)

    def reshape(self, *shape: int) -> Rational:
        return self.with_numerators(self.numerators.reshape(shape))

    def __getitem__(self, which: object) -> Rational:
        return self.with_numerators(self.numerators[which])

    def __neg__(self) -> Rational:
        return self.with_numerators(-self.numerators)

    def __add__(self, other: Rational) -> Rational:
        one, two, common = together(self, other)
        return Rational(one + two, common)

    def __sub__(self, other: Rational) -> Rational:
        return self + -other

    def __mul__(self, other: Rational) -> Rational:
        return reduced(
            Rational(self.numerators * other.numerators, self.denominator * other.denominator)
        )

    def fractions(self) -> np.ndarray:
        """The same numbers as an object array of Fractions."""
        flat = [Fraction(each, self.denominator) for each in self.numerators.reshape(-1).tolist()]
        return objects(flat, self.shape)


def objects(values: list, shape: tuple[int, ...]) -> np.ndarray:
    """The values as an object array of `shape`."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


integers = objects


def as_ratio(value: object) -> tuple[int, int]:
    """Numerator and denominator of a finite number; a ValueError or OverflowError for others."""
    if isinstance(value, Fraction):
        return value.numerator, value.denominator
    return value.as_integer_ratio()


def together(one: Rational, two: Rational) -> tuple[np.ndarray, np.ndarray, int]:
    """The numerators of both over their least common denominator, and that denominator."""
    if one.denominator == two.denominator:
        return one.numerators, two.numerators, one.denominator
    common = math.lcm(one.denominator, two.denominator)
    return (
        one.numerators * (common // one.denominator),
        two.numerators * (common // two.denominator),
        common,
    )


def reduced(value: Rational) -> Rational:
    """The same numbers; in lowest terms where the denominator is long."""
    if value.denominator.bit_length() <= LONG:
        return value
    common = math.gcd(value.denominator, *value.numerators.reshape(-1).tolist())
    return Rational(value.numerators // common, value.denominator // common)


def joined(parts: list[Rational], axis: int) -> Rational:
    """The parts one after the other along an axis."""
    common = math.lcm(*(part.denominator for part in parts))
    scaled = [part.numerators * (common // part.denominator) for part in parts]
    return Rational(np.concatenate(scaled, axis=axis), common)
