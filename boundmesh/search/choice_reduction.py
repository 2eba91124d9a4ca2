"""Reduces a part of a region to what follows from its bounds and the atoms of a clause."""

from __future__ import annotations

from dataclasses import replace

from boundmesh.proof.margins import ChoiceRows
from boundmesh.read.tighten import ROUNDS, enclose
from boundmesh.read.variable_bounds import VariableBounds
from boundmesh.search.choice_parts import ChoicePart
from boundmesh.search.choice_reasoning import Reasoning


def reduced(part: ChoicePart, reasoning: Reasoning) -> ChoicePart | None:
    """Return the part with all that follows from bounds and atoms; None if nothing can hold.

    Alternatives that cannot hold are dropped. The only alternative of a choice is required, and
    a choice that holds everywhere is dropped. The box is cut by required atoms over inputs, and
    to the smallest box around all alternatives of a choice. All of this is exact.
    """
    reduction = Reduction(part, reasoning)
    if not reduction.run():
        return None
    moved = _moved(part.bounds, reduction.bounds)
    return replace(
        part,
        bounds=reduction.bounds,
        required=tuple(reduction.required),
        choices=tuple(reduction.choices),
        bounded=part.bounded and all(variable < 0 for variable in moved),
        added=(),
        reduced_once=True,
        shares=reduction.shares,
    )


class Reduction:
    """The reduction of one part, which is repeated until it changes nothing.

    bounds    the bounds as far as they are narrowed
    required  the rows of the atoms that must hold, as keys in order
    choices   the choices that are left
    shares    the known shares of choices whose variables did not move
    """

    def __init__(self, part: ChoicePart, reasoning: Reasoning) -> None:
        self.bounds = part.bounds.fork()
        self.required = dict.fromkeys(part.required)
        self.choices = list(part.choices)
        self.shares = dict(part.shares)
        self._part, self._reasoning = part, reasoning
        self._margins: list[float] = part.margins.tolist()
        # The required rows over several variables: they may narrow further in each round.
        self._several = self._over_several(part.required)

    def run(self) -> bool:
        """Reduce the part; return False if nothing can hold."""
        if any(map(self._refuted, self.required)) or not self._narrow_at_first():
            return False
        moved = _moved(self._part.bounds, self.bounds)
        for turn in range(ROUNDS):
            before, count = self.bounds.fork(), len(self.required)
            if self._several and not self._reasoning.narrow(self.bounds, self._several):
                return False
            seen = moved if self._part.reduced_once or turn else None
            left: list[ChoiceRows] = []
            for choice in self.choices:
                rest = self._of_choice(choice, seen)
                if rest is None:
                    return False
                left += rest
            self.choices, moved = left, _moved(before, self.bounds)
            if not moved and len(self.required) == count:
                break
        return not self._reasoning.contradict(self.required)

    def _narrow_at_first(self) -> bool:
        """Narrow the bounds by the rows that are new, and by the margins of the part's box."""
        if not self._reasoning.narrow(self.bounds, self._part.added):
            return False
        return not self._part.bounded or self._reasoning.narrow_outputs(self.bounds, self._margins)

    def _of_choice(self, choice: ChoiceRows, moved: set[int] | None) -> list[ChoiceRows] | None:
        """Return what is left of a choice, as a list of none or one; None if nothing can hold.

        `moved` are the variables whose ends moved since the choice was last reduced (None: it was
        not reduced yet).
        """
        reasoning, bounds = self._reasoning, self.bounds
        possible = tuple(
            alternative for alternative in choice if not any(map(self._refuted, alternative))
        )
        idle = moved is not None and moved.isdisjoint(reasoning.variables_of(choice))
        if idle and possible == choice:
            return [choice]
        self.shares.pop(choice, None)
        cuts = [(alternative, reasoning.cut(bounds, alternative)) for alternative in possible]
        open_ones = [(alternative, cut) for alternative, cut in cuts if cut is not None]
        if not open_ones:
            return None
        if len(open_ones) == 1:
            ((only, _),) = open_ones
            self.required |= dict.fromkeys(only)
            self._several += self._over_several(only)
            return [] if reasoning.narrow(bounds, only) else None
        if any(reasoning.hold(bounds, alternative) for alternative, _ in open_ones):
            return []
        enclose(bounds, [cut for _, cut in open_ones])
        return [tuple(alternative for alternative, _ in open_ones)]

    def _refuted(self, row: int) -> bool:
        return self._margins[row] > 0

    def _over_several(self, rows: tuple[int, ...]) -> list[int]:
        return [row for row in rows if not self._reasoning.limit(row)]


def _moved(before: VariableBounds, after: VariableBounds) -> set[int]:
    """Return the variables whose ends moved; `after` is a fork of `before` that was narrowed."""
    lower = {v for v, end in after.own_lower.items() if before.own_lower.get(v) is not end}
    return lower | {v for v, end in after.own_upper.items() if before.own_upper.get(v) is not end}
