"""Finds pairs of inequalities that bound the same sum from both sides and leave no value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from boundmesh.property import Atom, Terms


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
        inputs = tuple((place, coefficient / first) for place, coefficient in atom.inputs)
        outputs = tuple((place, coefficient / first) for place, coefficient in atom.outputs)
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
        key, bound = (side.sum, side.negative), (side.bound, not side.strict)
        least[key] = bound = min(least.get(key, bound), bound)
        opposite = least.get((side.sum, not side.negative))
        if opposite is not None:
            gap = bound[0] + opposite[0]
            if gap < 0 or (gap == 0 and not (bound[1] and opposite[1])):
                return True
    return False
