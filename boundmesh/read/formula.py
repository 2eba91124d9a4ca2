"""Formulas over the variables of a property; an assertion is one formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from boundmesh.errors import PropertyError
from boundmesh.rational import Exact

# The longest number that arithmetic on constants may give.
BITS = 2**17


# More outputs than any network has: the number of the first product of variables.
PRODUCTS = 2**40
# The terms of a form, sorted, and its constant.
Key = tuple[tuple[tuple[int, Exact], ...], Exact]


def of_product(place: int) -> int:
    """Return the number of the product of variables that stands at this place."""
    return -1 - (PRODUCTS + place)


@dataclass(frozen=True, slots=True)
class Linear:
    """The linear form `Σ terms[v]·v + constant`, exactly.

    Variables are numbers: flat input i is the number i, and flat output j the number −1 − j.
    Products of variables are variables, too, with the numbers `of_product(0)`, `of_product(1)` ….
    """

    terms: dict[int, Exact]
    constant: Exact

    def plus(self, *others: Linear, factor: int = 1) -> Linear:
        """Return `self + factor·other₁ + factor·other₂ + …`."""
        terms, constant = dict(self.terms), self.constant
        for other in others:
            for variable, coefficient in other.terms.items():
                terms[variable] = short(terms.get(variable, 0) + factor * coefficient)
            constant = short(constant + factor * other.constant)
        return Linear(terms, constant)

    def times(self, other: Linear) -> Linear:
        """Return the product of two forms, of which one is a constant."""
        scaled, factor = (self, other.constant) if self.terms else (other, self.constant)
        terms = {
            variable: short(factor * coefficient) for variable, coefficient in scaled.terms.items()
        }
        return Linear(terms, short(factor * scaled.constant))

    @property
    def key(self) -> Key:
        """A key that is equal for equal forms, and sortable."""
        return tuple(sorted((v, c) for v, c in self.terms.items() if c)), self.constant

    def without_zeros(self) -> Linear:
        """Return the same form without terms whose coefficient is zero."""
        if all(self.terms.values()):
            return self
        return Linear(
            {v: coefficient for v, coefficient in self.terms.items() if coefficient}, self.constant
        )

    def monic(self) -> tuple[Linear, Exact]:
        """Return a form and a factor, whose product is this form.

        The factor is the coefficient of a form that has one term and nothing else, or else 1.
        """
        if len(self.terms) != 1 or self.constant:
            return self, 1
        ((variable, coefficient),) = self.terms.items()
        return Linear({variable: 1}, 0), coefficient

    def over(self, other: Linear) -> Linear:
        """Return the quotient by a constant; raise PropertyError where it is 0 or no constant."""
        if other.terms:
            raise PropertyError("a quotient by a variable is not supported")
        if other.constant == 0:
            raise PropertyError("a quotient by 0 has no value")
        return self.times(Linear({}, 1 / Fraction(other.constant)))


def short(value: Exact) -> Exact:
    """Return the value; raise PropertyError where it has too many digits."""
    if value.numerator.bit_length() + value.denominator.bit_length() > BITS:
        raise PropertyError("numbers lie too far apart to be combined exactly; round them")
    return value


class Comparison(NamedTuple):
    """`Σ c·v ≤ bound` (`<` where strict), terms by variable, no coefficient zero.

    A tuple, as files have hundreds of thousands of them.
    """

    terms: tuple[tuple[int, Exact], ...]
    bound: Exact
    strict: bool = False

    def negated(self) -> Comparison:
        flipped = tuple((v, -coefficient) for v, coefficient in self.terms)
        return Comparison(flipped, -self.bound, not self.strict)


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Some part holds."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Formula


Formula = Comparison | All | Any | Not


def less(left: Linear, right: Linear, strict: bool) -> Comparison:
    """Return `left ≤ right`, or `left < right`."""
    # Most comparisons bound one variable by a constant; there, nothing needs to be added.
    if not right.terms and not left.constant:
        return Comparison(_sorted(left.terms), right.constant, strict)
    if not left.terms and not right.constant:
        negated = {variable: -coefficient for variable, coefficient in right.terms.items()}
        return Comparison(_sorted(negated), -left.constant, strict)
    difference = left.plus(right, factor=-1)
    return Comparison(_sorted(difference.terms), -difference.constant, strict)


def _sorted(terms: dict[int, Exact]) -> tuple[tuple[int, Exact], ...]:
    pairs = terms.items() if len(terms) < 2 else sorted(terms.items())
    return tuple(pairs) if all(terms.values()) else tuple(pair for pair in pairs if pair[1])


COMPARISONS: dict[str, Callable[[Linear, Linear], Formula]] = {
    "<=": lambda left, right: less(left, right, False),
    "<": lambda left, right: less(left, right, True),
    ">=": lambda left, right: less(right, left, False),
    ">": lambda left, right: less(right, left, True),
    "==": lambda left, right: All((less(left, right, False), less(right, left, False))),
    "=": lambda left, right: All((less(left, right, False), less(right, left, False))),
    "!=": lambda left, right: Any((less(left, right, True), less(right, left, True))),
}
