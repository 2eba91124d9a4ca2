"""The exact least value of a piecewise-linear network on a line, piece by piece.

A value is carried as two rows: its value at a point and its derivative along the line, to the right
of that point. Both are exact, and up to the next place where some piece ends the network is the
straight line that they give. So a walk from one end to the other misses no piece, however narrow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from tests.adversary.exact import Exact
from tests.adversary.network import Network
from tests.adversary.rational import Rational, together

Point = tuple[Fraction, ...]
# A walk that meets more pieces gives up.
PIECES = 400


class Directional(Exact):
    """Exact arithmetic on pairs (value, derivative), which notes where the pieces end: `steps` to
    the right, the least of which is `nearest`, and the derivatives of what is zero at the point."""

    def __init__(self) -> None:
        super().__init__()
        self.nearest: Fraction | None = None
        self.zeros: list[int] = []

    def constant(self, array: np.ndarray) -> Rational:
        value = super().constant(array)
        return value.with_numerators(
            np.concatenate([value.numerators, np.zeros_like(value.numerators)])
        )

    def add(self, a: Rational, b: Rational) -> Rational:
        return a + b

    def multiply(self, a: Rational, b: Rational) -> Rational:
        (av, at), (bv, bt) = a.numerators, b.numerators
        return Rational(
            np.stack(
                [np.asarray(av * bv, dtype=object), np.asarray(at * bv + av * bt, dtype=object)]
            ),
            a.denominator * b.denominator,
        )

    def divide(self, a: Rational, b: Rational) -> Rational:
        """Of a constant divisor."""
        return super().divide(a, b[:1])

    def maximum(self, a: Rational, b: Rational) -> Rational:
        one, two, common = together(a, b)
        gap = one - two
        value, slope = gap
        first = (value > 0) | ((value == 0) & (slope >= 0))
        self._note(value, slope)
        return Rational(np.where(first[None], one, two), common)

    def where_negative(self, x: Rational, slope: Rational) -> Rational:
        below, above, common = together(self.multiply(x, slope), x)
        value, rise = x.numerators
        negative = (value < 0) | ((value == 0) & (rise < 0))
        self._note(value, rise)
        return Rational(np.where(negative[None], below, above), common)

    def dot(self, a: Rational, b: Rational, bias: Rational | None = None) -> Rational:
        total = self.total(self.multiply(a, b))
        return total if bias is None else total + bias

    def largest(self, x: Rational) -> Rational:
        result = x[..., 0]
        for place in range(1, x.shape[-1]):
            result = self.maximum(result, x[..., place])
        return result

    def power(self, x: Rational, exponent: float) -> Rational:
        raise ValueError("a power is not piecewise linear")

    def function(self, name: str, x: Rational) -> Rational:
        if name != "sqrt" or any(x.numerators[1].reshape(-1).tolist()):
            raise ValueError(f"{name} is not piecewise linear")
        root = super().function(name, x[:1])
        return root.with_numerators(
            np.concatenate([root.numerators, np.zeros_like(root.numerators)])
        )

    def _note(self, value: np.ndarray, slope: np.ndarray) -> None:
        """The next zero to the right of values with these slopes."""
        value, slope = np.atleast_1d(value).reshape(-1), np.atleast_1d(slope).reshape(-1)
        for v, s in zip(value.tolist(), slope.tolist(), strict=True):
            if v == 0:
                self.zeros.append(s)
            if (v > 0 > s) or (v < 0 < s):
                step = Fraction(-v, s)
                if self.nearest is None or step < self.nearest:
                    self.nearest = step


@dataclass(frozen=True)
class Objective:
    """The linear function `Σ coefficient·output + Σ factor·input` of a network's flat outputs and
    inputs; without `inputs` of the outputs alone."""

    net: Network
    coefficients: tuple[Fraction, ...]
    inputs: tuple[Fraction, ...] = ()

    def of(self, x: Sequence[Any], y: Sequence[Any]) -> Any:
        """Its value at inputs and outputs in any arithmetic."""
        factors = self.inputs or (Fraction(0),) * len(x)
        pairs = [*zip(self.coefficients, y, strict=True), *zip(factors, x, strict=True)]
        return sum((c * each for c, each in pairs), Fraction(0))

    def ridges(self, point: Point) -> list[Point]:
        """Directions along which what is zero at the point stays zero: edges of pieces."""
        size = len(point)
        axes = [tuple(Fraction(int(i == j)) for i in range(size)) for j in range(size)]
        rises: list[list[Fraction]] = []
        for axis in axes:
            how = Directional()
            self.net.run(how, Rational.of(np.array([list(point), list(axis)], dtype=object)))
            # Zeros of one direction stand for the same values as those of another, in order.
            rises.append([Fraction(each) for each in how.zeros])
        normals = [each for each in zip(*rises, strict=False) if any(each)]
        if size == 2:
            return [(-b, a) for a, b in normals]
        pairs = itertools.combinations([*normals[:4], *axes], 2) if size == 3 else ()
        found = [crossed(a, b) for a, b in pairs]
        return [each for each in found if any(each)]

    def along(self, point: Point, direction: Point) -> tuple[Fraction, Fraction, Fraction | None]:
        """Value, derivative along the direction, and the step after which a piece ends."""
        how = Directional()
        pair = Rational.of(np.array([list(point), list(direction)], dtype=object))
        found = self.net.run(how, pair).reshape(2, -1)
        value, slope = (
            self.of(x, [Fraction(n, found.denominator) for n in row])
            for x, row in zip((point, direction), found.numerators.tolist(), strict=True)
        )
        return value, slope, how.nearest


@dataclass(frozen=True)
class Least:
    """The least value on a line, and where it is; `complete` where the whole line was walked."""

    value: Fraction
    point: Point
    complete: bool


def least_on_line(objective: Objective, start: Point, end: Point, pieces: int = PIECES) -> Least:
    """The exact least value of an objective between two points."""
    direction = tuple(b - a for a, b in zip(start, end, strict=True))
    if not any(direction):
        return Least(objective.along(start, direction)[0], start, True)
    here, done = start, Fraction(0)
    best: tuple[Fraction, Point] | None = None
    for _ in range(pieces):
        value, _, step = objective.along(here, direction)
        if best is None or value < best[0]:
            best = value, here
        last = step is None or done + step >= 1
        done = Fraction(1) if last else done + step
        here = end if last else moved(start, direction, done)
        if last:
            value = objective.along(here, direction)[0]
            return Least(*min(best, (value, here)), True)
    assert best is not None
    return Least(*best, False)


def moved(start: Point, direction: Point, share: Fraction) -> Point:
    return tuple(a + share * d for a, d in zip(start, direction, strict=True))


@dataclass(frozen=True)
class Region:
    """A box with exact ends."""

    lower: Point
    upper: Point

    def contains(self, point: Point) -> bool:
        ends = zip(self.lower, point, self.upper, strict=True)
        return all(low <= x <= high for low, x, high in ends)

    def clamped(self, point: Point) -> Point:
        ends = zip(self.lower, point, self.upper, strict=True)
        return tuple(min(max(x, low), high) for low, x, high in ends)

    def line(self, point: Point, direction: Point) -> tuple[Point, Point]:
        """Where the line through a point of the box leaves it on either side."""
        back, ahead = [], []
        for low, x, high, d in zip(self.lower, point, self.upper, direction, strict=True):
            if d:
                one, two = sorted(((low - x) / d, (high - x) / d))
                back.append(one)
                ahead.append(two)
        if not back:
            return point, point
        return tuple(
            self.clamped(moved(point, direction, share))  # type: ignore[return-value]
            for share in (max(back), min(ahead))
        )


def least_nearby(
    objective: Objective, region: Region, start: Point, rng: np.random.Generator, lines: int
) -> Least:
    """The least value that walks along `lines` lines find (axes, random directions), and then
    walks along the edges of pieces."""
    size = len(start)
    best = Least(objective.along(start, (Fraction(0),) * size)[0], start, False)
    for number in range(lines):
        if number % (size + 1) < size:
            axis = number % (size + 1)
            direction = tuple(Fraction(int(place == axis)) for place in range(size))
        else:
            direction = tuple(Fraction(int(each)) for each in rng.integers(-9, 10, size))
        found = least_on_line(objective, *region.line(short(region, best.point), direction), 60)
        if found.value < best.value:
            best = found
    return along_ridges(objective, region, best)


def along_ridges(objective: Objective, region: Region, best: Least, steps: int = 3) -> Least:
    """The least value that walks along the edges of pieces reach from a point on them."""
    for _ in range(steps):
        before = best
        for direction in objective.ridges(best.point)[:9]:
            found = least_on_line(objective, *region.line(best.point, scaled(direction)), 60)
            best = found if found.value < best.value else best
        if best is before:
            break
    return Least(best.value, best.point, False)


def scaled(direction: Point) -> Point:
    """The same direction in whole numbers."""
    common = math.lcm(*(each.denominator for each in direction))
    whole = [int(each * common) for each in direction]
    return tuple(Fraction(each // math.gcd(*whole)) for each in whole)


def crossed(a: Point, b: Point) -> Point:
    """The cross product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def short(region: Region, point: Point) -> Point:
    """The point in float64, so that numbers do not grow from line to line."""
    return region.clamped(tuple(Fraction(float(x)) for x in point))
