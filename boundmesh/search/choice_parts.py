"""Parts of a region with what is left of a clause, cut by exact bounds of the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import isfinite

import numpy as np
from torch import Tensor

from boundmesh.conditions import Atom
from boundmesh.proof.margins import ChoiceRows
from boundmesh.rational import rounded
from boundmesh.read.tighten import (
    ROUNDS,
    Side,
    VariableBounds,
    contradictory,
    enclose,
    implied,
    terms_of,
    tighten,
)

# A choice divides a box at once if its alternatives have less than this share of it together.
SPARSE = 0.5


class Ends(Mapping[int, Fraction]):
    """Ends of ranges, float64, as exact numbers by their place."""

    def __init__(self, values: np.ndarray) -> None:
        self._floats = values.reshape(-1)
        self._known: dict[int, Fraction] = {}

    def __getitem__(self, place: int) -> Fraction:
        if place not in self._known:
            if not 0 <= place < self._floats.size:
                raise KeyError(place)
            self._known[place] = Fraction(float(self._floats[place]))
        return self._known[place]

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._floats.size))

    def __len__(self) -> int:
        return self._floats.size


@dataclass(frozen=True)
class Limit:
    """An atom over one variable, as `v ≤ value` or `v ≥ value` (`<` and `>` where strict)."""

    place: int
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
        self._places: dict[ChoiceRows, frozenset[int]] = {}

    def over_inputs(self, rows: Iterable[int]) -> list[int]:
        """Return the rows whose atoms are over inputs alone."""
        return [row for row in rows if not self.atoms[row].outputs]

    def limit(self, row: int) -> Limit | None:
        """Return the atom of a row as a limit of one variable; None if it is over several."""
        if row not in self._limits:
            atom, found = self.atoms[row], None
            if len(terms := terms_of(atom)) == 1:
                ((place, coefficient),) = terms
                found = Limit(place, atom.bound / coefficient, coefficient > 0, atom.strict)
            self._limits[row] = found
        return self._limits[row]

    def places(self, choice: ChoiceRows) -> frozenset[int]:
        """Return the variables that the choice speaks of."""
        if choice not in self._places:
            atoms = [self.atoms[row] for own in choice for row in own]
            self._places[choice] = frozenset(v for atom in atoms for v, _ in terms_of(atom))
        return self._places[choice]

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
            if limit is None or limit.place >= 0 or not isfinite(margin):
                continue
            ((_, coefficient),) = self.atoms[row].outputs
            value = limit.value + Fraction(margin) / coefficient
            if not bounds.narrow(limit.place, value, not limit.above):
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
    if not bounds.narrow(limit.place, limit.value, limit.above):
        return False
    end = bounds.lower(limit.place) if limit.above else bounds.upper(limit.place)
    return not limit.strict or limit.value != end


@dataclass(frozen=True)
class Part:
    """A box in the region, and what is left there of a clause.

    bounds    the bounds of the inputs, and of outputs where a counterexample can be
    required  the rows of the atoms that must hold
    choices   the choices that must hold, as rows of the atoms of each alternative
    margins   `[S]`: the best margin of every row on the box, or on a larger one
    bounded   True where `margins` are those of this box
    depth     how many alternatives were chosen
    added     rows in `required` by which the bounds are not narrowed yet
    reduced_once  True where the choices were reduced before, by wider bounds
    shares    which share of the box the alternatives of a choice have together, as far as known
    """

    bounds: VariableBounds
    required: tuple[int, ...]
    choices: tuple[ChoiceRows, ...]
    margins: Tensor
    bounded: bool = False
    depth: int = 0
    added: tuple[int, ...] = ()
    reduced_once: bool = False
    shares: dict[ChoiceRows, float] = field(default_factory=dict)

    @cached_property
    def margin(self) -> float:
        """The best margin of what is left of the clause: above 0, nothing can hold."""
        known = self.margins.tolist()

        def best(rows: Sequence[int]) -> float:
            return max((known[row] for row in rows), default=-float("inf"))

        each = [min(map(best, choice)) for choice in self.choices]
        return max([best(self.required), *each])

    def ends(self, box: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends, float64, rounded outward, for the region's flat box."""
        lower, upper = box[0].copy(), box[1].copy()
        for place, end in self.bounds.own_lower.items():
            if place >= 0:
                lower[place] = max(lower[place], rounded(end, up=False))
        for place, end in self.bounds.own_upper.items():
            if place >= 0:
                upper[place] = min(upper[place], rounded(end, up=True))
        return lower, upper

    def reduced(self, reasoning: Reasoning) -> Part | None:
        """Return the part with all that follows from bounds and atoms; None if nothing can hold.

        Alternatives that cannot hold are dropped. The only alternative of a choice is required, and
        a choice that holds everywhere is dropped. The box is cut by required atoms over inputs, and
        to the smallest box around all alternatives of a choice. All of this is exact.
        """
        margins = self.margins.tolist()
        refuted = [margin > 0 for margin in margins]
        required = dict.fromkeys(self.required)
        choices, bounds = list(self.choices), self.bounds.fork()
        if any(refuted[row] for row in required) or not reasoning.narrow(bounds, self.added):
            return None
        if self.bounded and not reasoning.narrow_outputs(bounds, margins):
            return None
        several = [row for row in required if not reasoning.limit(row)]
        shares, moved = dict(self.shares), _moved(self.bounds, bounds)
        for turn in range(ROUNDS):
            before, count = bounds.fork(), len(required)
            if several and not reasoning.narrow(bounds, several):
                return None
            left: list[ChoiceRows] = []
            for choice in choices:
                possible = tuple(own for own in choice if not any(refuted[row] for row in own))
                idle = moved.isdisjoint(reasoning.places(choice)) and (self.reduced_once or turn)
                if idle and possible == choice:
                    left.append(choice)
                    continue
                shares.pop(choice, None)
                cuts = [(own, reasoning.cut(bounds, own)) for own in possible]
                open_ones = [(own, cut) for own, cut in cuts if cut is not None]
                if not open_ones:
                    return None
                if len(open_ones) == 1:
                    required |= dict.fromkeys(open_ones[0][0])
                    if not reasoning.narrow(bounds, open_ones[0][0]):
                        return None
                    several += [row for row in open_ones[0][0] if not reasoning.limit(row)]
                elif not any(reasoning.hold(bounds, own) for own, _ in open_ones):
                    left.append(tuple(own for own, _ in open_ones))
                    enclose(bounds, [cut for _, cut in open_ones])
            choices, moved = left, _moved(before, bounds)
            if not moved and len(required) == count:
                break
        if reasoning.contradict(required):
            return None
        return replace(
            self,
            bounds=bounds,
            required=tuple(required),
            choices=tuple(choices),
            bounded=self.bounded and all(v < 0 for v in _moved(self.bounds, bounds)),
            added=(),
            reduced_once=True,
            shares=shares,
        )

    def divided(self, place: int) -> list[Part]:
        """Return a part for each alternative of the choice at `place`. They cover this part."""
        rest = self.choices[:place] + self.choices[place + 1 :]
        return [
            replace(
                self,
                required=tuple(dict.fromkeys((*self.required, *own))),
                choices=rest,
                depth=self.depth + 1,
                added=own,
            )
            for own in self.choices[place]
        ]

    def sparse_choice(self, reasoning: Reasoning) -> int | None:
        """Return the place of a choice whose alternatives are boxes that fill little of this one.

        It is the choice whose alternatives fill the least; None where each one's fill half or more.
        """
        for choice in self.choices:
            if choice not in self.shares:
                pure = all(len(reasoning.over_inputs(own)) == len(own) for own in choice)
                self.shares[choice] = self._share(reasoning, choice) if pure else 1.0
        shares = [self.shares[choice] for choice in self.choices]
        least = min(shares, default=1.0)
        return shares.index(least) if least < SPARSE else None

    def _share(self, reasoning: Reasoning, choice: ChoiceRows) -> float:
        """Return which share of this box the boxes around the alternatives have together."""
        total = 0.0
        for own in choice:
            cut = reasoning.cut(self.bounds, own)
            if cut is None:
                continue
            share = 1.0
            for place in cut.own_lower.keys() | cut.own_upper.keys():
                low, high = self.bounds.lower(place), self.bounds.upper(place)
                inner = cut.own_upper.get(place, high) - cut.own_lower.get(place, low)
                if high > low:
                    share *= float(inner / (high - low))
            total += share
        return total

    def next_choice(self, reasoning: Reasoning) -> int:
        """Return the place of the choice to divide by.

        It is one that cuts the box, if there is any. Of those it has the fewest alternatives, and
        then the best margin.
        """
        known = self.margins.tolist()
        ranked = []
        for place, choice in enumerate(self.choices):
            idle = not any(reasoning.over_inputs(own) for own in choice)
            best = min(max((known[row] for row in own), default=-float("inf")) for own in choice)
            ranked.append((idle, len(choice), -best, place))
        return min(ranked)[-1]


def _moved(before: VariableBounds, after: VariableBounds) -> set[int]:
    """Return the variables whose ends moved; `after` is a fork of `before` that was narrowed."""
    lower = {v for v, end in after.own_lower.items() if before.own_lower.get(v) is not end}
    return lower | {v for v, end in after.own_upper.items() if before.own_upper.get(v) is not end}
