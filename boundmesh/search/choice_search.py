"""The search of one region for a clause with choices: alternatives are chosen where bounds need it.

A part of the region is refuted as soon as an atom that must hold is refuted, or every alternative
of one choice. Otherwise it is divided by a choice. Alternatives over inputs cut the box, so their
parts are bounded anew, many together. Once no choice is left that cuts the box, the part is
searched by splitting inputs or neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion, Region, part_of
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.ladder import climb
from boundmesh.proof.question import TOGETHER, Question
from boundmesh.proof.standing import Standing
from boundmesh.read.variable_bounds import VariableBounds
from boundmesh.runtime.clock import Clock
from boundmesh.search.choice_parts import ChoicePart
from boundmesh.search.choice_reasoning import Ends, Reasoning
from boundmesh.search.choice_reduction import reduced
from boundmesh.search.narrowed import Narrowed, multiplied_out
from boundmesh.search.searcher import Look
from boundmesh.settings import BoundSettings

# Choices that multiply to so few conjunctions are multiplied out, and searched together.
FEW = 64
# So many boxes of each batch have their centres replayed.
LOOKED_AT = 4


SearchPart = Callable[[Narrowed, Tensor, list[SearchAccount]], None]
"""Searches a narrowed region whose rows have these margins; raises OutOfTime. The accounts of its
attempts are added to the list."""


@dataclass
class ChoiceSearch:
    """The search of one region for one clause with choices.

    question  the question
    domain    the number of the region
    clause    the number of the clause
    margins   `[S]`: the best margin of every row on the region
    settings  the options of bounds
    clock     measures the stages, and raises OutOfTime at the deadline
    look      replays points
    by_input  returns True if a region would be split by input
    search    searches a part that has no choice left to divide by
    account   the account of the search
    """

    question: Question
    domain: int
    clause: int
    margins: Tensor
    settings: BoundSettings
    clock: Clock
    look: Look
    by_input: Callable[[Question], bool]
    search: SearchPart
    account: SearchAccount = field(default_factory=SearchAccount)

    def run(self) -> SearchAccount:
        """Search until the clause is refuted everywhere, or a counterexample is found."""
        todo = [self._root()]
        while todo:
            self.clock.check()
            batch, todo = todo[-TOGETHER:], todo[:-TOGETHER]
            try:
                self._survey([*todo, *batch])
                open_parts = self._bounded(self._kept(batch))
                if self.account.found:
                    return self.account
                for part in open_parts:
                    todo += self._parts_of(part)
                    if self.account.found:
                        return self.account
            except BaseException:
                self._survey([*todo, *batch])
                raise
        self.account.open = 0
        return self.account

    @cached_property
    def reasoning(self) -> Reasoning:
        return Reasoning(self.question.margins.atoms)

    @cached_property
    def region(self) -> Region:
        return part_of(self.question.region, torch.tensor([self.domain]))

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the flat box around the region, float64."""
        around = self.region.interval
        lower, upper = (
            end.double().cpu().flatten().numpy() for end in (around.lower, around.upper)
        )
        return lower, upper

    def _root(self) -> ChoicePart:
        margins = self.question.margins
        lower, upper = self.box
        return ChoicePart(
            VariableBounds(Ends(lower), Ends(upper)),
            margins.members[self.clause],
            margins.choices_of(self.clause),
            self.margins,
            bounded=True,
            added=margins.members[self.clause],
        )

    def _survey(self, parts: list[ChoicePart]) -> None:
        self.account.open = len(parts)
        self.account.widest = max(self.account.widest, len(parts))
        self.account.worst = min([self.account.hardest, *(part.margin for part in parts)])
        self.account.show(self.clock.progress)

    def _kept(self, parts: list[ChoicePart]) -> list[ChoicePart]:
        """Return the parts that exact reasoning leaves open, reduced."""
        open_parts = []
        with self.clock.stage("branch"):
            for part in parts:
                self.clock.check()
                self.account.depth = max(self.account.depth, part.depth)
                left = reduced(part, self.reasoning)
                if left is not None:
                    open_parts.append(left)
                elif part.margin > 0:
                    self.account.proved = min(self.account.proved, part.margin)
        return open_parts

    def _bounded(self, parts: list[ChoicePart]) -> list[ChoicePart]:
        """Bound the boxes that were cut, all together; return the parts that are still open."""
        if not isinstance(self.question.region, BoxRegion):
            return parts
        cut = [part for part in parts if not part.bounded]
        if not cut:
            return parts
        region = self._regions(cut)
        margins = self.question.margins.only(torch.tensor([self.clause]))
        cases = (self.question.cases[self.domain],) * len(cut)
        standing = Standing.at_start(
            replace(self.question, margins=margins, region=region, cases=cases)
        )
        standing.rows[:] = torch.stack([part.margins for part in cut])
        # Tighter bounds than the cheapest ones are left to the search of a part.
        cheap = self.settings.method in ("auto", "alpha-crown")
        chosen = replace(self.settings, method="crown-ibp") if cheap else self.settings
        climb(standing, chosen, self.clock, "branch")
        self.account.visited += len(cut)
        better = [
            replace(part, margins=rows, bounded=True)
            for part, rows in zip(cut, standing.rows, strict=True)
        ]
        open_parts = self._kept([part for part in parts if part.bounded] + better)
        worst = sorted(range(len(better)), key=lambda place: better[place].margin)[:LOOKED_AT]
        around = part_of(region, torch.tensor(worst)).interval
        self.account.found = self.look((around.lower + around.upper) / 2)
        return open_parts

    def _regions(self, parts: list[ChoicePart]) -> BoxRegion:
        """Return the boxes of the parts, rounded outward to the dtype of bounds."""
        region, box = self.region, self.box
        assert isinstance(region, BoxRegion)
        sides = zip(*(part.ends(box) for part in parts), strict=True)
        shape, dtype = region.lower.shape[1:], region.lower.dtype
        ends = []
        for side, toward in zip(sides, (-torch.inf, torch.inf), strict=True):
            exact = torch.from_numpy(np.stack(side))
            near = exact.to(dtype)
            beyond = torch.nextafter(near, torch.full_like(near, toward))
            inside = near.double() > exact if toward < 0 else near.double() < exact
            rounded = torch.where(inside, beyond, near)
            ends.append(rounded.reshape(len(parts), *shape).to(region.lower.device))
        return BoxRegion(ends[0], ends[1])

    def _parts_of(self, part: ChoicePart) -> list[ChoicePart]:
        """Return the parts of a part; one that need not be divided is searched, and leaves none."""
        reasoning, is_box = self.reasoning, isinstance(self.question.region, BoxRegion)
        sparse = part.sparse_choice(reasoning) if is_box else None
        if sparse is not None:
            return part.divided(sparse)
        narrowed = self._narrowed(part)
        if part.choices and not self.by_input(narrowed.of(self.question, self.domain)):
            place = part.next_choice(reasoning)
            cuts = any(reasoning.over_inputs(alternative) for alternative in part.choices[place])
            if (cuts and is_box) or prod(map(len, part.choices)) > FEW:
                return part.divided(place)
            narrowed = multiplied_out(narrowed)
        if not all(narrowed.members) and not part.choices:
            return self._replayed(part, narrowed.region)
        attempts: list[SearchAccount] = []
        before = self.account.stuck
        try:
            self.search(narrowed, part.margins, attempts)
        finally:
            self.account.enter(attempts)
        # Only what the last attempt gave up is open.
        self.account.stuck = before + (attempts[-1].stuck if attempts else 0)
        self.account.found = next((attempt.found for attempt in attempts if attempt.found), None)
        return []

    def _replayed(self, part: ChoicePart, region: Region) -> list[ChoicePart]:
        """Replay the centre of a part in which the clause holds whatever the network computes."""
        around = region.interval
        self.account.found = self.look((around.lower + around.upper) / 2)
        self.account.give_up(torch.tensor([part.margin]))
        return []

    def _narrowed(self, part: ChoicePart) -> Narrowed:
        box = isinstance(self.question.region, BoxRegion)
        region = self._regions([part]) if box else self.region
        return Narrowed((part.required,), (part.choices,) if part.choices else (), region)
