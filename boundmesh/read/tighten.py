"""Narrows the bounds of single variables by linear inequalities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from boundmesh.property import Atom, Terms
from boundmesh.rational import rounded
from boundmesh.read.variable_bounds import VariableBounds

# Each round of narrowing is sound, so stopping early costs tightness only.
ROUNDS = 4
# Narrowed bounds are exact up to so many bits. Longer ones are rounded outward.
BITS = 256


def terms_of(atom: Atom) -> Terms:
    """Return the terms of an atom by variable; output j is the variable −1 − j."""
    if not atom.outputs:
        return atom.inputs
    return (*atom.inputs, *((-1 - place, coefficient) for place, coefficient in atom.outputs))


def smallest(atom: Atom, bounds: VariableBounds) -> tuple[list[Fraction | None], int]:
    """Return each term's least value (None if unbounded), and how many are unbounded."""
    least: list[Fraction | None] = []
    for variable, coefficient in terms_of(atom):
        end = bounds.lower(variable) if coefficient > 0 else bounds.upper(variable)
        least.append(None if isinstance(end, float) else coefficient * end)
    return least, least.count(None)


def tighten(atoms: Sequence[Atom], bounds: VariableBounds) -> bool:
    """Narrow the bounds of variables by atoms; False where no point is left.

    From Σ aᵢxᵢ ≤ b:  aᵢxᵢ ≤ b − Σ_{j≠i} min aⱼxⱼ, in exact arithmetic.
    """
    for _ in range(ROUNDS):
        changed = False
        for atom in atoms:
            least, unbounded = smallest(atom, bounds)
            total = sum((minimum for minimum in least if minimum is not None), Fraction(0))
            slack = atom.bound - total
            if not unbounded and (slack < 0 or (slack == 0 and atom.strict)):
                return False
            for (variable, coefficient), minimum in zip(terms_of(atom), least, strict=True):
                if unbounded - (minimum is None):
                    continue
                above = coefficient > 0
                value = short((slack + (minimum or 0)) / coefficient, above)
                if value is None:
                    continue
                old = bounds.upper(variable) if above else bounds.lower(variable)
                if not bounds.narrow(variable, value, above):
                    return False
                changed |= value < old if above else value > old
        if not changed:
            break
    return True


def short(limit: Fraction, above: bool) -> Fraction | None:
    """Return the limit; a long one is rounded outward to float64, or None if that is infinite."""
    if limit.numerator.bit_length() + limit.denominator.bit_length() <= BITS:
        return limit
    value = rounded(limit, above)
    return Fraction(value) if math.isfinite(value) else None


def implied(atom: Atom, bounds: VariableBounds) -> bool:
    """Return True if an atom holds at every point of the bounds."""
    largest = Fraction(0)
    for variable, coefficient in terms_of(atom):
        end = bounds.upper(variable) if coefficient > 0 else bounds.lower(variable)
        if isinstance(end, float):
            return False
        largest += coefficient * end
    return largest < atom.bound or (largest == atom.bound and not atom.strict)


def enclose(bounds: VariableBounds, parts: Sequence[VariableBounds]) -> None:
    """Narrow bounds to the smallest range around those of all parts, forks of them."""
    for above in (False, True):
        all_ends = [part.own_upper if above else part.own_lower for part in parts]
        for variable in all_ends[0]:
            if all(variable in ends for ends in all_ends):
                values = [ends[variable] for ends in all_ends]
                bounds.narrow(variable, max(values) if above else min(values), above)
