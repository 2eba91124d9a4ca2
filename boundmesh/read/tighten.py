"""Bounds of single variables, and how linear inequalities narrow them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from boundmesh.property import Atom, Terms
from boundmesh.rational import Exact, rounded

# Each round of narrowing is sound, so stopping early costs tightness only.
ROUNDS = 4
# Narrowed bounds are exact up to so many bits. Longer ones are rounded outward.
BITS = 256
# An end is exact or infinite.
End = Exact | float
# A contradiction is an input whose bounds crossed, with both bounds, or None for any other reason.
Contradiction = tuple[int, End, End] | None
EMPTY: Mapping[int, Exact] = {}
Number = TypeVar("Number", int | Fraction, Fraction)


@dataclass(frozen=True, eq=False)
class Overlay(Mapping[int, Number]):
    """Two mappings as one; `above` holds where both have a key."""

    below: Mapping[int, Number]
    above: Mapping[int, Number]

    def __getitem__(self, key: int) -> Number:
        return self.above[key] if key in self.above else self.below[key]

    def __iter__(self) -> Iterator[int]:
        yield from self.above
        yield from (key for key in self.below if key not in self.above)

    def __len__(self) -> int:
        return len(self.below) + sum(key not in self.below for key in self.above)


def merged(base: Mapping[int, Exact], own: Mapping[int, Exact]) -> Mapping[int, Exact]:
    """Return both as one mapping; a large one that is no dict is not copied."""
    return {**base, **own} if isinstance(base, dict) else Overlay(base, own)


class VariableBounds:
    """Exact bounds of variables. A fork shares the bounds that it has not changed.

    `contradiction` is the input whose bounds crossed, with both bounds.
    """

    def __init__(
        self,
        base_lower: Mapping[int, Exact] = EMPTY,
        base_upper: Mapping[int, Exact] = EMPTY,
        lower: Mapping[int, Exact] = EMPTY,
        upper: Mapping[int, Exact] = EMPTY,
    ) -> None:
        self.base_lower, self.base_upper = base_lower, base_upper
        self.own_lower, self.own_upper = dict(lower), dict(upper)
        self.contradiction: Contradiction = None
        self._key: tuple[Any, ...] | None = None

    def share(self) -> VariableBounds:
        """Return bounds whose forks all share the bounds known here."""
        return VariableBounds(
            merged(self.base_lower, self.own_lower), merged(self.base_upper, self.own_upper)
        )

    def fork(self) -> VariableBounds:
        return VariableBounds(self.base_lower, self.base_upper, self.own_lower, self.own_upper)

    def key(self) -> tuple[Any, ...]:
        """A key that is equal for forks with equal bounds of the inputs."""
        if self._key is None:
            sides = (self.own_lower, self.base_lower), (self.own_upper, self.base_upper)
            self._key = tuple(tuple(sorted(_changed(own, base))) for own, base in sides)
        return self._key

    @property
    def lower_ends(self) -> Mapping[int, Exact]:
        """All lower ends, by variable, without a copy."""
        return Overlay(self.base_lower, self.own_lower)

    @property
    def upper_ends(self) -> Mapping[int, Exact]:
        """All upper ends, by variable, without a copy."""
        return Overlay(self.base_upper, self.own_upper)

    def lower(self, variable: int) -> End:
        end = self._lower(variable)
        return -math.inf if end is None else end

    def upper(self, variable: int) -> End:
        end = self._upper(variable)
        return math.inf if end is None else end

    def _lower(self, variable: int) -> Exact | None:
        own = self.own_lower.get(variable)
        return self.base_lower.get(variable) if own is None else own

    def _upper(self, variable: int) -> Exact | None:
        own = self.own_upper.get(variable)
        return self.base_upper.get(variable) if own is None else own

    def narrow(self, variable: int, value: Exact, above: bool) -> bool:
        """Add `variable ≤ value` (above) or `≥ value`; return False where the bounds then cross."""
        lower, upper = self.own_lower.get(variable), self.own_upper.get(variable)
        if lower is None:
            lower = self.base_lower.get(variable)
        if upper is None:
            upper = self.base_upper.get(variable)
        if above and (upper is None or value < upper):
            self.own_upper[variable] = upper = value
            self._key = None
        elif not above and (lower is None or value > lower):
            self.own_lower[variable] = lower = value
            self._key = None
        if lower is None or upper is None or lower <= upper:
            return True
        if variable >= 0:
            self.contradiction = (variable, self.lower(variable), self.upper(variable))
        return False


def _changed(
    own: Mapping[int, Exact], base: Mapping[int, Exact]
) -> list[tuple[int, tuple[int, int]]]:
    """Return the inputs whose ends differ from those in `base`, with the ends as ratios."""
    # Hashes of Fractions take long.
    found = [(v, end.as_integer_ratio()) for v, end in own.items() if v >= 0]
    return [(v, ratio) for v, ratio in found if v not in base or own[v] != base[v]]


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
            total = sum((each for each in least if each is not None), Fraction(0))
            slack = atom.bound - total
            if not unbounded and (slack < 0 or (slack == 0 and atom.strict)):
                return False
            for (variable, coefficient), own in zip(terms_of(atom), least, strict=True):
                if unbounded - (own is None):
                    continue
                above = coefficient > 0
                value = short((slack + (own or 0)) / coefficient, above)
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
        own = [part.own_upper if above else part.own_lower for part in parts]
        for variable in own[0]:
            if all(variable in ends for ends in own):
                ends = [each[variable] for each in own]
                bounds.narrow(variable, max(ends) if above else min(ends), above)


@dataclass(frozen=True, slots=True)
class Side:
    """An atom as a bound of a scaled sum s: `s ≤ bound` or `−s ≤ bound`.

    sum       s, scaled so that its first coefficient is 1
    negative  True for `−s ≤ bound`
    bound     the right-hand side
    strict    True for `<` in place of `≤`
    """

    sum: tuple[Terms, Terms]
    negative: bool
    bound: Fraction
    strict: bool

    @staticmethod
    def of(atom: Atom) -> Side:
        """Make the side of an atom; raise ValueError for an atom without terms."""
        (_, first), *_ = (*atom.inputs, *atom.outputs)
        if first == 1:
            return Side((atom.inputs, atom.outputs), False, atom.bound, atom.strict)
        inputs = tuple((place, each / first) for place, each in atom.inputs)
        outputs = tuple((place, each / first) for place, each in atom.outputs)
        return Side((inputs, outputs), first < 0, atom.bound / abs(first), atom.strict)


def contradictory(sides: Sequence[Side]) -> bool:
    """Return True if two of the sides bound the same sum from both sides and leave no value.

    `s ≤ b` and `−s ≤ −c` leave nothing where c > b, and where c = b and one of them is strict.
    """
    if len(sides) < 2:
        return False
    # The least bound of each sum from that side, and True if the sum may be equal to it.
    least: dict[tuple[tuple[Terms, Terms], bool], tuple[Fraction, bool]] = {}
    for side in sides:
        key, own = (side.sum, side.negative), (side.bound, not side.strict)
        least[key] = own = min(least.get(key, own), own)
        other = least.get((side.sum, not side.negative))
        if other is not None:
            gap = own[0] + other[0]
            if gap < 0 or (gap == 0 and not (own[1] and other[1])):
                return True
    return False
