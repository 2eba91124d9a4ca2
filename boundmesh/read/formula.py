"""Formulas over the variables of a property; an assertion is one formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from boundmesh.errors import PropertyError
from boundmesh.rational import Exact

# The longest number that arithmetic on constants may give.
BITS = 2**17


@dataclass(frozen=True, slots=True)
class Linear:
    """The linear form `Σ terms[v]·v + constant`, exactly.

    Variables are numbers: flat input i is the number i, and flat output j the number −1 − j.
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
        """Return the product with a constant; raise PropertyError where neither is one."""
        if other.terms and self.terms:
            raise PropertyError("a product of two variables is not linear")
        scaled, factor = (self, other.constant) if self.terms else (other, self.constant)
        terms = {variable: short(factor * each) for variable, each in scaled.terms.items()}
        return Linear(terms, short(factor * scaled.constant))

    def over(self, other: Linear) -> Linear:
        """Return the quotient by a constant; raise PropertyError where it is 0 or no constant."""
        if other.terms:
            raise PropertyError("a quotient by a variable is not linear")
        if other.constant == 0:
            raise PropertyError("a quotient by 0 has no value")
        return self.times(Linear({}, 1 / Fraction(other.constant)))


def short(value: Exact) -> Exact:
    """Return the value; raise PropertyError where it has too many digits."""
    if value.numerator.bit_length() + value.denominator.bit_length() > BITS:
        raise PropertyError("numbers lie too far apart to be combined exactly; round them")
    return value


@dataclass(frozen=True, slots=True)
class Comparison:
    """`Σ c·v ≤ bound` (`<` where strict), terms by variable, no coefficient zero."""

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
    """`left ≤ right`, or `left < right`."""
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
    return tuple([pair for pair in pairs if pair[1]])


COMPARISONS: dict[str, Callable[[Linear, Linear], Formula]] = {
    "<=": lambda left, right: less(left, right, False),
    "<": lambda left, right: less(left, right, True),
    ">=": lambda left, right: less(right, left, False),
    ">": lambda left, right: less(right, left, True),
    "==": lambda left, right: All((less(left, right, False), less(right, left, False))),
    "=": lambda left, right: All((less(left, right, False), less(right, left, False))),
    "!=": lambda left, right: Any((less(left, right, True), less(right, left, True))),
}
