"""Formulas over the variables of a property: what an assertion says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from boundmesh.errors import PropertyError


@dataclass(frozen=True, slots=True)
class Linear:
    """`Σ terms[v]·v + constant`; variables are numbers: flat input i is i, flat output j −1 − j."""

    terms: dict[int, Decimal]
    constant: Decimal

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        """`self + factor·other`."""
        terms = dict(self.terms)
        for variable, coefficient in other.terms.items():
            terms[variable] = terms.get(variable, Decimal(0)) + factor * coefficient
        return Linear(terms, self.constant + factor * other.constant)

    def times(self, other: Linear) -> Linear:
        """The product with a constant; raises PropertyError where neither is one."""
        if other.terms and self.terms:
            raise PropertyError("a product of two variables is not linear")
        scaled, factor = (self, other.constant) if self.terms else (other, self.constant)
        terms = {variable: factor * each for variable, each in scaled.terms.items()}
        return Linear(terms, factor * scaled.constant)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`Σ c·v ≤ bound` (`<` where strict), terms by variable, no coefficient zero."""

    terms: tuple[tuple[int, Decimal], ...]
    bound: Decimal
    strict: bool = False

    def negated(self) -> Comparison:
        # copy_negate, since unary minus rounds to the precision of the context.
        flipped = tuple((v, coefficient.copy_negate()) for v, coefficient in self.terms)
        return Comparison(flipped, self.bound.copy_negate(), not self.strict)


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
    difference = left.plus(right, -1)
    terms = tuple((v, c) for v, c in sorted(difference.terms.items()) if c)
    return Comparison(terms, -difference.constant, strict)


COMPARISONS: dict[str, Callable[[Linear, Linear], Formula]] = {
    "<=": lambda left, right: less(left, right, False),
    "<": lambda left, right: less(left, right, True),
    ">=": lambda left, right: less(right, left, False),
    ">": lambda left, right: less(right, left, True),
    "==": lambda left, right: All((less(left, right, False), less(right, left, False))),
    "=": lambda left, right: All((less(left, right, False), less(right, left, False))),
    "!=": lambda left, right: Any((less(left, right, True), less(right, left, True))),
}
