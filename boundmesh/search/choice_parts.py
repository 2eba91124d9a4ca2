"""Parts of a region with what is left of a clause, cut by exact bounds of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from boundmesh.proof.margins import ChoiceRows
from boundmesh.rational import rounded
from boundmesh.read.variable_bounds import VariableBounds
from boundmesh.search.choice_reasoning import Reasoning

# A choice divides a box at once if its alternatives have less than this share of it together.
SPARSE = 0.5


@dataclass(frozen=True)
class ChoicePart:
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

        of_choices = [min(map(best, choice)) for choice in self.choices]
        return max([best(self.required), *of_choices])

    def ends(self, box: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends, float64, rounded outward, for the region's flat box."""
        lower, upper = box[0].copy(), box[1].copy()
        for variable, end in self.bounds.own_lower.items():
            if variable >= 0:
                lower[variable] = max(lower[variable], rounded(end, up=False))
        for variable, end in self.bounds.own_upper.items():
            if variable >= 0:
                upper[variable] = min(upper[variable], rounded(end, up=True))
        return lower, upper

    def divided(self, number: int) -> list[ChoicePart]:
        """Return a part for each alternative of the choice at `number`. They cover this part."""
        rest = self.choices[:number] + self.choices[number + 1 :]
        return [
            replace(
                self,
                required=tuple(dict.fromkeys((*self.required, *alternative))),
                choices=rest,
                depth=self.depth + 1,
                added=alternative,
            )
            for alternative in self.choices[number]
        ]

    def sparse_choice(self, reasoning: Reasoning) -> int | None:
        """Return the number of a choice whose alternatives are boxes that fill little of this one.

        It is the choice whose alternatives fill the least; None where each one's fill half or more.
        """
        for choice in self.choices:
            if choice not in self.shares:
                pure = all(
                    len(reasoning.over_inputs(alternative)) == len(alternative)
                    for alternative in choice
                )
                self.shares[choice] = self._share(reasoning, choice) if pure else 1.0
        shares = [self.shares[choice] for choice in self.choices]
        least = min(shares, default=1.0)
        return shares.index(least) if least < SPARSE else None

    def _share(self, reasoning: Reasoning, choice: ChoiceRows) -> float:
        """Return which share of this box the boxes around the alternatives have together."""
        total = 0.0
        for alternative in choice:
            cut = reasoning.cut(self.bounds, alternative)
            if cut is None:
                continue
            share = 1.0
            for variable in cut.own_lower.keys() | cut.own_upper.keys():
                low, high = self.bounds.lower(variable), self.bounds.upper(variable)
                inner = cut.own_upper.get(variable, high) - cut.own_lower.get(variable, low)
                if high > low:
                    share *= float(inner / (high - low))
            total += share
        return total

    def next_choice(self, reasoning: Reasoning) -> int:
        """Return the number of the choice to divide by.

        It is one that cuts the box, if there is any. Of those it has the fewest alternatives, and
        then the best margin.
        """
        known = self.margins.tolist()
        ranked = []
        for number, choice in enumerate(self.choices):
            idle = not any(reasoning.over_inputs(alternative) for alternative in choice)
            best = min(
                max((known[row] for row in alternative), default=-float("inf"))
                for alternative in choice
            )
            ranked.append((idle, len(choice), -best, number))
        return min(ranked)[-1]
