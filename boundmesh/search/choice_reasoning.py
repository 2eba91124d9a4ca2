"""Narrows ranges of inputs and outputs by the atoms of a clause, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from boundmesh.conditions import Atom
from boundmesh.proof.margins import ChoiceRows
from boundmesh.read.opposite_sides import Side, contradictory
from boundmesh.read.tighten import implied, terms_of, tighten
from boundmesh.read.variable_bounds import VariableBounds


class Ends(Mapping[int, Fraction]):
    """Ends of ranges, float64, as exact numbers by variable."""

    def __init__(self, values: np.ndarray) -> None:
        self._floats = values.reshape(-1)
        self._known: dict[int, Fraction] = {}

    def __getitem__(self, variable: int) -> Fraction:
        if variable not in self._known:
            if not 0 <= variable < self._floats.size:
                raise KeyError(variable)
            self._known[variable] = Fraction(float(self._floats[variable]))
        return self._known[variable]

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._floats.size))

    def __len__(self) -> int:
        return self._floats.size


@dataclass(frozen=True)
class Limit:
    """An atom over one variable, as `v ≤ value` or `v ≥ value` (`<` and `>` where strict)."""

    variable: int
    value: Fraction
    above: bool
    strict: bool


class Reasoning:
    """Narrows the ranges of variables by the atoms of rows, in exact arithmetic.

    Variables are the inputs, and the outputs as variables −1, −2 ….
    """

    def __init__(self, atoms: Sequence[Atom]) -> None:
        self.atoms = atoms
        self._limits: dict[int, Limit | None] = {}
        self._sides: dict[int, Side] = {}
        self._variables: dict[ChoiceRows, frozenset[int]] = {}

    def over_inputs(self, rows: Iterable[int]) -> list[int]:
        """Return the rows whose atoms are over inputs alone."""
        return [row for row in rows if not self.atoms[row].outputs]

    def limit(self, row: int) -> Limit | None:
        """Return the atom of a row as a limit of one variable; None if it is over several."""
        if row not in self._limits:
            atom, limit = self.atoms[row], None
            if len(terms := terms_of(atom)) == 1:
                ((variable, coefficient),) = terms
                limit = Limit(variable, atom.bound / coefficient, coefficient > 0, atom.strict)
            self._limits[row] = limit
        return self._limits[row]

    def variables_of(self, choice: ChoiceRows) -> frozenset[int]:
        """Return the variables of the choice."""
        if choice not in self._variables:
            atoms = [self.atoms[row] for alternative in choice for row in alternative]
            self._variables[choice] = frozenset(v for atom in atoms for v, _ in terms_of(atom))
        return self._variables[choice]

    def narrow(self, bounds: VariableBounds, rows: Iterable[int]) -> bool:
        """Narrow the bounds by the atoms of rows; False where no point is left."""
        several = []
        for row in rows:
            limit = self.limit(row)
            if limit is None:
                several.append(self.atoms[row])
            elif not _narrowed(bounds, limit):
                return False
        return not several or tighten(several, bounds)

    def cut(self, bounds: VariableBounds, rows: Sequence[int]) -> VariableBounds | None:
        """Return bounds that hold only the ends that rows move; None where no point is left."""
        if any(self.limit(row) is None for row in rows):
            whole = bounds.fork()
            if not self.narrow(whole, rows):
                return None
            return VariableBounds(
                lower={v: e for v, e in whole.own_lower.items() if e != bounds.lower(v)},
                upper={v: e for v, e in whole.own_upper.items() if e != bounds.upper(v)},
            )
        moved = VariableBounds(bounds.lower_ends, bounds.upper_ends)
        return moved if self.narrow(moved, rows) else None

    def hold(self, bounds: VariableBounds, rows: Sequence[int]) -> bool:
        """Return True if the atoms hold at every point of the bounds."""
        return all(implied(self.atoms[row], bounds) for row in rows)

    def narrow_outputs(self, bounds: VariableBounds, margins: Sequence[float]) -> bool:
        """Narrow the bounds of outputs by proved margins of rows; False for no point.

        The margin m of an atom `c·y ≤ b` proves `c·y ≥ b + m`.
        """
        for row, margin in enumerate(margins):
            limit = self.limit(row)
            if limit is None or limit.variable >= 0 or not isfinite(margin):
                continue
            ((_, coefficient),) = self.atoms[row].outputs
            value = limit.value + Fraction(margin) / coefficient
            if not bounds.narrow(limit.variable, value, not limit.above):
                return False
        return True

    def contradict(self, rows: Iterable[int]) -> bool:
        """Return True if two atoms bound the same sum and leave no value."""
        sides = []
        for row in rows:
            if row not in self._sides:
                self._sides[row] = Side.of(self.atoms[row])
            sides.append(self._sides[row])
        return contradictory(sides)


def _narrowed(bounds: VariableBounds, limit: Limit) -> bool:
    """Narrow bounds by a limit; return False where no point is left."""
    if not bounds.narrow(limit.variable, limit.value, limit.above):
        return False
    end = bounds.lower(limit.variable) if limit.above else bounds.upper(limit.variable)
    return not limit.strict or limit.value != end
