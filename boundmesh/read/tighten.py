"""Bounds of single variables, and what a linear inequality says about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from boundmesh.property import Atom

# Each round of narrowing is sound, so stopping early costs tightness only.
ROUNDS = 4
# An input whose bounds crossed, and they; None where something else cannot hold.
Contradiction = tuple[int, float, float] | None
EMPTY: Mapping[int, float] = {}


class Bounds:
    """Float64 bounds of variables; forks share what they were forked from.

    `contradiction` is the input whose bounds came to cross, with both of them.
    """

    def __init__(
        self,
        base_lower: Mapping[int, float] = EMPTY,
        base_upper: Mapping[int, float] = EMPTY,
        lower: Mapping[int, float] = EMPTY,
        upper: Mapping[int, float] = EMPTY,
    ) -> None:
        self.base_lower, self.base_upper = base_lower, base_upper
        self.own_lower, self.own_upper = dict(lower), dict(upper)
        self.contradiction: Contradiction = None

    def share(self) -> Bounds:
        """Bounds whose forks all share what is known here."""
        lower, upper = {**self.base_lower, **self.own_lower}, {**self.base_upper, **self.own_upper}
        return Bounds(lower, upper)

    def fork(self) -> Bounds:
        return Bounds(self.base_lower, self.base_upper, self.own_lower, self.own_upper)

    def key(self) -> tuple:
        """Equal for forks that bound the inputs alike."""
        sides = (self.own_lower, self.base_lower), (self.own_upper, self.base_upper)
        return tuple(
            tuple(sorted((v, end) for v, end in own.items() if v >= 0 and end != base.get(v)))
            for own, base in sides
        )

    def lower(self, variable: int) -> float:
        own = self.own_lower.get(variable)
        return self.base_lower.get(variable, -math.inf) if own is None else own

    def upper(self, variable: int) -> float:
        own = self.own_upper.get(variable)
        return self.base_upper.get(variable, math.inf) if own is None else own

    def narrow(self, variable: int, value: float, above: bool) -> bool:
        """Take in `variable ≤ value` (above) or `≥ value`; False where the bounds then cross."""
        if above and value < self.upper(variable):
            self.own_upper[variable] = value
        elif not above and value > self.lower(variable):
            self.own_lower[variable] = value
        if self.lower(variable) <= self.upper(variable):
            return True
        if variable >= 0:
            self.contradiction = (variable, self.lower(variable), self.upper(variable))
        return False


def outward(value: Fraction, above: bool) -> float:
    """The float64 nearest to `value` among those not below it (above) or not above it."""
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf if above == (value > 0) else math.copysign(1.7976931348623157e308, value)
    if above and Fraction(nearest) < value:
        return math.nextafter(nearest, math.inf)
    if not above and Fraction(nearest) > value:
        return math.nextafter(nearest, -math.inf)
    return nearest


def smallest(atom: Atom, bounds: Bounds) -> tuple[list[Fraction | None], int]:
    """Each input term's least value (None where unbounded), and how many are unbounded."""
    least: list[Fraction | None] = []
    for variable, coefficient in atom.inputs:
        end = bounds.lower(variable) if coefficient > 0 else bounds.upper(variable)
        least.append(Fraction(coefficient) * Fraction(end) if math.isfinite(end) else None)
    return least, least.count(None)


def tighten(atoms: Sequence[Atom], bounds: Bounds) -> bool:
    """Narrow the bounds of inputs by atoms over inputs only; False where no point is left.

    From Σ aᵢxᵢ ≤ b:  aᵢxᵢ ≤ b − Σ_{j≠i} min aⱼxⱼ, in exact arithmetic, rounded outwards.
    """
    for _ in range(ROUNDS):
        changed = False
        for atom in atoms:
            least, unbounded = smallest(atom, bounds)
            total = sum((each for each in least if each is not None), Fraction(0))
            slack = Fraction(atom.bound) - total
            if not unbounded and (slack < 0 or (slack == 0 and atom.strict)):
                return False
            for (variable, coefficient), own in zip(atom.inputs, least, strict=True):
                if unbounded - (own is None):
                    continue
                above = coefficient > 0
                limit = (slack + (own or 0)) / Fraction(coefficient)
                value = outward(limit, above)
                old = bounds.upper(variable) if above else bounds.lower(variable)
                if not bounds.narrow(variable, value, above):
                    return False
                changed |= value < old if above else value > old
        if not changed:
            break
    return True


def implied(atom: Atom, bounds: Bounds) -> bool:
    """Whether an atom over inputs only holds at every point of the bounds."""
    largest = Fraction(0)
    for variable, coefficient in atom.inputs:
        end = bounds.upper(variable) if coefficient > 0 else bounds.lower(variable)
        if not math.isfinite(end):
            return False
        largest += Fraction(coefficient) * Fraction(end)
    limit = Fraction(atom.bound)
    return largest < limit or (largest == limit and not atom.strict)
