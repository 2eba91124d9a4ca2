"""Conditions on inputs and outputs: linear inequalities, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.rational import rational, unwrapped
from boundmesh.regions import Point

Terms = tuple[tuple[int, Fraction], ...]

SHOWN = 4
"""So many terms of an atom, or atoms of a clause, are printed."""


@dataclass(frozen=True, init=False)
class Atom:
    """A linear inequality `Σ aᵢ·xᵢ + Σ cⱼ·yⱼ ≤ bound` over the flat input x and flat output y.

    inputs   the pairs (i, aᵢ), sorted by index
    outputs  the pairs (j, cⱼ), sorted by index
    bound    the right-hand side
    strict   True for `<` in place of `≤`

    Coefficients and bound are exact: numbers of every kind become Fractions. Raises PropertyError
    for a number that is not finite and for an index that is negative or appears twice.
    """

    inputs: Terms
    outputs: Terms
    bound: Fraction
    strict: bool

    def __init__(
        self,
        inputs: Iterable[tuple[int, Any]],
        outputs: Iterable[tuple[int, Any]],
        bound: Any,
        strict: bool = False,
    ) -> None:
        object.__setattr__(self, "inputs", _terms(inputs, "input"))
        object.__setattr__(self, "outputs", _terms(outputs, "output"))
        object.__setattr__(self, "bound", rational(bound, "an atom's bound"))
        strict = unwrapped(strict)
        if not isinstance(strict, bool):
            raise PropertyError(f"an atom's strict is {strict!r:.80}; expected True or False")
        object.__setattr__(self, "strict", strict)

    def __repr__(self) -> str:
        terms = [(value, f"x[{i}]") for i, value in self.inputs]
        terms += [(value, f"y[{j}]") for j, value in self.outputs]
        words = [_term(float(value), name) for value, name in terms[:SHOWN]]
        words += [f"{len(terms) - SHOWN} more terms"] if len(terms) > SHOWN else []
        return f"Atom({' '.join(words) or '0'} {'<' if self.strict else '≤'} {float(self.bound):g})"

    def holds(self, x: Point, y: Point) -> bool:
        """Return True if flat x and y satisfy the inequality in exact arithmetic.

        NaN and infinity satisfy nothing.
        """
        total = _sum(self.inputs, self.outputs, x, y)
        if total is None:
            return False
        return total < self.bound or (total == self.bound and not self.strict)


@dataclass(frozen=True, init=False)
class Choice:
    """A disjunction: it holds where all atoms of one of its alternatives hold."""

    alternatives: tuple[tuple[Atom, ...], ...]

    def __init__(self, alternatives: Iterable[Iterable[Atom]]) -> None:
        what = "a choice's alternatives"
        if not isinstance(alternatives, Iterable) or isinstance(alternatives, str):
            raise PropertyError(f"{what} are {alternatives!r:.80}; expected tuples of Atom")
        found = tuple(all_of(atoms, Atom, f"the atoms of {what}") for atoms in alternatives)
        object.__setattr__(self, "alternatives", found)

    def __repr__(self) -> str:
        shown = [" and ".join(map(repr, atoms)) for atoms in self.alternatives[:SHOWN]]
        rest = len(self.alternatives) - len(shown)
        return f"Choice({' or '.join([*shown, *([f'{rest} more'] if rest else [])])})"


@dataclass(frozen=True, init=False)
class Clause:
    """A conjunction of atoms and choices: a point at which all hold is a counterexample.

    atoms    the atoms that must hold
    choices  the disjunctions that must hold as well
    """

    atoms: tuple[Atom, ...]
    choices: tuple[Choice, ...] = ()

    def __init__(self, atoms: Iterable[Atom], choices: Iterable[Choice] = ()) -> None:
        object.__setattr__(self, "atoms", all_of(atoms, Atom, "a clause's atoms"))
        object.__setattr__(self, "choices", all_of(choices, Choice, "a clause's choices"))

    def __repr__(self) -> str:
        parts = [*map(repr, self.atoms), *map(repr, self.choices)]
        rest = [f"{len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
        return f"Clause({', '.join([*parts[:SHOWN], *rest])})"

    @property
    def every_atom(self) -> Iterator[Atom]:
        """All atoms: those that must hold, then those of the choices."""
        yield from self.atoms
        for choice in self.choices:
            for alternative in choice.alternatives:
                yield from alternative

    def meets(self, test: Callable[[Atom], bool]) -> bool:
        """Return True if the clause holds where exactly those atoms hold that pass the test."""
        return all(map(test, self.atoms)) and all(
            any(all(map(test, alternative)) for alternative in choice.alternatives)
            for choice in self.choices
        )

    def holds(self, x: Point, y: Point) -> bool:
        """Return True if the clause holds at flat x and y, exactly as written."""
        return self.meets(lambda atom: atom.holds(x, y))


@dataclass(frozen=True)
class Affine:
    """The sum `Σ aᵢ·xᵢ + Σ cⱼ·yⱼ + constant` over the flat input x and flat output y.

    inputs    the pairs (i, aᵢ), sorted by index
    outputs   the pairs (j, cⱼ), sorted by index
    constant  the constant
    """

    inputs: Terms
    outputs: Terms
    constant: Fraction

    def value(self, x: Point, y: Point) -> Fraction | None:
        """Compute the sum exactly; None where a number in it is NaN or infinite."""
        total = _sum(self.inputs, self.outputs, x, y)
        return None if total is None else self.constant + total


@dataclass(frozen=True)
class Product:
    """A product of two sums of inputs and outputs. Products before it count as outputs, too."""

    left: Affine
    right: Affine


def _term(value: float, name: str) -> str:
    """Return a term with its sign in front: `+y[3]`, `-0.5·x[0]`."""
    return f"{'-' if value < 0 else '+'}{'' if abs(value) == 1 else f'{abs(value):g}·'}{name}"


def _sum(inputs: Terms, outputs: Terms, x: Point, y: Point) -> Fraction | None:
    """Compute `⟨a, x⟩ + ⟨c, y⟩` exactly; None where a number in it is NaN or infinite."""
    total = Fraction(0)
    for terms, values in ((inputs, x), (outputs, y)):
        for place, coefficient in terms:
            exact = _exact(values[place])
            if exact is None:
                return None
            total += coefficient * exact
    return total


def _exact(value: Any) -> Fraction | None:
    """Return a number exactly; None for NaN and infinity."""
    if isinstance(value, Fraction):
        return value
    number = float(value)
    return Fraction(number) if math.isfinite(number) else None


def _terms(given: Any, role: str) -> Terms:
    """Return the pairs (index, coefficient), sorted by index, with exact coefficients."""
    terms = []
    try:
        pairs = [(index, number) for index, number in given]
    except (TypeError, ValueError):
        raise PropertyError(
            f"an atom's {role}s are {given!r:.80}; expected pairs (index, coefficient)"
        ) from None
    for given_index, number in pairs:
        index = unwrapped(given_index)
        if not is_index(index) or index < 0:
            raise PropertyError(f"an atom's {role} has the index {index!r}; expected 0, 1, 2 …")
        terms.append((int(index), rational(number, f"the coefficient of {role} {index}")))
    terms.sort()
    for (index, _), (next_index, _) in pairwise(terms):
        if index == next_index:
            raise PropertyError(f"an atom has {role} {index} twice; add its coefficients")
    return tuple(terms)


def is_index(value: object) -> bool:
    """Return True for an integer of Python or NumPy, but not for a bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def all_of(given: Any, kind: type, what: str) -> tuple[Any, ...]:
    """Return `given` as a tuple; raise PropertyError unless all elements are of type `kind`."""
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise PropertyError(f"{what} are {given!r:.80}; expected a tuple of {kind.__name__}")
    try:
        parts = given if isinstance(given, tuple) else tuple(given)
    except (TypeError, RuntimeError):
        # An array without axes, or a nested tensor, looks like an iterable; iterating fails.
        raise PropertyError(
            f"{what} are {given!r:.80}; expected a tuple of {kind.__name__}"
        ) from None
    for part in parts:
        if not isinstance(part, kind):
            raise PropertyError(f"{what} hold {part!r:.80}; expected {kind.__name__} only")
    return parts
