"""Gives the variables of a query the places that they have in a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from boundmesh.property import Affine, Product
from boundmesh.rational import Exact
from boundmesh.read.formula import PRODUCTS, All, Any, Comparison, Formula, Linear, Not


@dataclass(frozen=True)
class Renaming:
    """Maps the numbers of variables in a query to numbers by their place in a graph.

    into   the place of each declared input element in the graph's flat input
    out    the place of each declared output element in the graph's flat output
    total  the number of the graph's outputs, after which products are counted
    """

    into: np.ndarray
    out: np.ndarray
    total: int
    _known: dict[Comparison, Comparison] = field(default_factory=dict, repr=False)

    @property
    def is_identity(self) -> bool:
        """True if every number stays what it is."""
        return all(
            np.array_equal(numbers, np.arange(len(numbers))) for numbers in (self.into, self.out)
        )

    def number(self, variable: int) -> int:
        """Return the new number of a variable; a product follows the graph's outputs."""
        if variable >= 0:
            return int(self.into[variable])
        place = -1 - variable
        return -1 - (self.total + place - PRODUCTS if place >= PRODUCTS else int(self.out[place]))

    def terms(self, given: Sequence[tuple[int, Exact]]) -> tuple[tuple[int, Exact], ...]:
        """Return the terms with new numbers; terms of one number are added up."""
        coefficients: dict[int, Exact] = {}
        for variable, coefficient in given:
            number = self.number(variable)
            coefficients[number] = coefficients.get(number, 0) + coefficient
        return tuple(sorted((number, total) for number, total in coefficients.items() if total))

    def comparison(self, old: Comparison) -> Comparison:
        if old not in self._known:
            self._known[old] = Comparison(self.terms(old.terms), old.bound, old.strict)
        return self._known[old]

    def affine(self, form: Linear) -> Affine:
        terms = [
            (v, Fraction(coefficient)) for v, coefficient in self.terms(list(form.terms.items()))
        ]
        inputs = tuple((v, coefficient) for v, coefficient in terms if v >= 0)
        outputs = tuple(sorted((-1 - v, coefficient) for v, coefficient in terms if v < 0))
        return Affine(inputs, outputs, Fraction(form.constant))

    def product(self, factors: tuple[Linear, Linear]) -> Product:
        return Product(*map(self.affine, factors))

    def formulas(self, given: Sequence[Formula]) -> list[Formula]:
        """Return the formulas with new numbers. Formulas may be nested to any depth."""
        made: dict[int, Formula] = {}
        todo = list(given)
        while todo:
            formula = todo[-1]
            parts = parts_of(formula)
            open_parts = [part for part in parts if id(part) not in made]
            if open_parts:
                todo.extend(open_parts)
                continue
            todo.pop()
            if isinstance(formula, Comparison):
                made[id(formula)] = self.comparison(formula)
            elif isinstance(formula, Not):
                made[id(formula)] = Not(made[id(formula.part)])
            else:
                made[id(formula)] = type(formula)(tuple(made[id(part)] for part in parts))
        return [made[id(formula)] for formula in given]


def parts_of(formula: Formula) -> tuple[Formula, ...]:
    if isinstance(formula, Not):
        return (formula.part,)
    return formula.parts if isinstance(formula, All | Any) else ()


def equal_inputs(assertions: Sequence[Formula]) -> list[tuple[int, int]]:
    """Return the pairs of inputs that the assertions declare equal, whatever else holds."""
    todo, pairs = list(assertions), []
    seen: set[tuple[int, int, bool]] = set()
    while todo:
        formula = todo.pop()
        if isinstance(formula, All):
            todo.extend(formula.parts)
        if not isinstance(formula, Comparison) or formula.bound or formula.strict:
            continue
        if len(formula.terms) == 2 and formula.terms[0][0] >= 0 and formula.terms[1][0] >= 0:
            (first, a), (second, b) = formula.terms
            if a == -b:
                seen.add((first, second, a > 0))
                if (first, second, a < 0) in seen:
                    pairs.append((first, second))
    return pairs


def representatives(count: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return, for each of `count` numbers, the smallest one that the pairs connect it with."""
    links: dict[int, int] = {}

    def root(number: int) -> int:
        while number in links:
            number = links[number]
        return number

    for one, other in pairs:
        first, second = sorted((root(one), root(other)))
        if first != second:
            links[second] = first
    result = np.arange(count)
    for number in links:
        result[number] = root(number)
    return result
