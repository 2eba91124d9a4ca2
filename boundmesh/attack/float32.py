"""Checks whether conditions also hold where a reader of the result evaluates them in float32."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from boundmesh.property import Atom, Clause
from boundmesh.regions import Point

UNIT = Fraction(1, 2**24)
"""The unit roundoff of float32."""


def holds_in_float32(clause: Clause, x: Point, y: Point) -> bool:
    """Return True if a clause holds in float32 arithmetic, in whatever order its sums are formed.

    Competition checkers read the assignment, and evaluate the conditions in float32.
    """
    return clause.meets(lambda atom: _atom_holds(atom, x, y))


def _atom_holds(atom: Atom, x: Point, y: Point) -> bool:
    terms = [(c, Fraction(x[i])) for i, c in atom.inputs]
    terms += [(c, Fraction(y[j])) for j, c in atom.outputs]
    if len(terms) == 1 and abs(terms[0][0]) == 1:
        ((coefficient, value),) = terms
        left, right = _single(coefficient * value), _single(atom.bound)
        return left < right or (left == right and not atom.strict)
    if atom.bound == 0 and sorted(c for c, _ in terms) == [-1, 1]:
        (_, other), (_, one) = sorted(terms)
        left, right = _single(one), _single(other)
        return left < right or (left == right and not atom.strict)
    # |computed − exact| ≤ (n + 3)·u·(Σ|cᵢvᵢ| + |bound|): one rounding for each coefficient, value
    # and product, and one for each addition; doubled, as the terms of higher order are left out.
    size = sum((abs(c * value) for c, value in terms), abs(atom.bound))
    error = 2 * (len(terms) + 3) * UNIT * size
    total = sum((c * value for c, value in terms), Fraction(0))
    return total + error < atom.bound


def _single(value: Fraction) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(float(value)))
