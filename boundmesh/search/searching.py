"""The searches of one question: of a region, of a clause with choices, and again in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.region import BoxRegion, Region, part_of
from boundmesh.operators.interval import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.search.choice_search import ChoiceSearch
from boundmesh.search.narrowed import Narrowed
from boundmesh.search.parallel.groups import Groups, Meetings
from boundmesh.search.region_search import RegionSearch, by_input
from boundmesh.search.task import task_of
from boundmesh.settings import BoundSettings, BranchSettings

# A search in float64 may bound so many times the boxes of one in float32 that gave some up.
MORE = 4

LookInCase = Callable[[int, Tensor], object]
"""Replays inputs `[K, *input_shape]` of a case; returns the counterexample among them, or None."""


@dataclass(frozen=True)
class Searching:
    """What the searches of one question share.

    bounds    the options of bounds
    settings  the options of branch and bound
    clock     measures the stages, and raises OutOfTime at the deadline
    look      replays points
    groups    the groups of ranks that search together
    number    the number of the question, from 0
    """

    bounds: BoundSettings
    settings: BranchSettings
    clock: Clock
    look: LookInCase
    groups: Groups
    number: int

    def region(
        self, standing: Standing, domain: int, part: tuple[int, Narrowed] | None = None
    ) -> SearchAccount:
        """Search a region of `standing`, in all groups.

        Where `standing` is about a part of a region, `part` is that region's number and the part.
        """
        problem = self._problem(standing.question, domain)
        known = _bounds_of(standing, domain, problem)
        if self.groups.size > 1:
            left = self.clock.left
            self.groups.broadcast_object(task_of(standing, domain, known, left, self.number, part))
        meetings = Meetings(self.groups)
        with meetings.ending_all():
            return self._search(standing, domain, problem, known, meetings).run()

    def halves_in_float64(
        self, standing: Standing, domain: int, search: SearchAccount
    ) -> SearchAccount:
        """Halve boxes in float64, where a `search` in float32 left some that it cannot halve.

        The rounding of float32 may be all that they lack, and floats of 64 bits can be halved more
        often. Boxes may be many, so that at most `MORE` times as many are bounded as before. The
        result is `search` where the question is not bounded in float64.
        """
        finer = standing.finer
        if finer is None or self.groups.size > 1:
            return search
        problem = self._problem(finer.question, domain)
        if not isinstance(problem.region, BoxRegion):
            return search
        halving = self._search(finer, domain, problem, {}, Meetings(self.groups))
        again = halving.halve(MORE * search.visited)
        # The boxes that were given up are searched again.
        search.stuck, search.hardest = 0, float("inf")
        return again

    def clause(self, standing: Standing, domain: int, clause: int) -> SearchAccount:
        """Search a region for a clause that has choices."""
        question = standing.question

        def search(part: Narrowed, margins: Tensor, attempts: list[SearchAccount]) -> None:
            part_standing = Standing.at_start(part.of(question, domain))
            part_standing.rows[0], part_standing.searches = margins, attempts
            self.region(part_standing, 0, (domain, part))

        choice_search = ChoiceSearch(
            question,
            domain,
            clause,
            standing.rows[domain],
            self.bounds,
            self.clock,
            lambda points: self.look(question.cases[domain], points),
            self._divides_inputs,
            search,
        )
        standing.searches.append(choice_search.account)
        return choice_search.run()

    def _divides_inputs(self, question: Question) -> bool:
        """Return True if the region of a question would be split by input."""
        problem = question.problem(question.region, self.bounds, self.clock)
        known = _new_bounds(problem)
        return isinstance(question.region, BoxRegion) and by_input(self.settings, problem, known)

    def _problem(self, question: Question, domain: int) -> Problem:
        return question.problem(region_of(question, domain), self.bounds, self.clock)

    def _search(
        self,
        standing: Standing,
        domain: int,
        problem: Problem,
        known: dict[str, Interval],
        meetings: Meetings,
    ) -> RegionSearch:
        chosen = self.settings, self.clock, self.look, meetings
        return search_of(standing, domain, problem, known, *chosen)


def search_of(
    standing: Standing,
    domain: int,
    problem: Problem,
    known: dict[str, Interval],
    settings: BranchSettings,
    clock: Clock,
    look: LookInCase,
    meetings: Meetings,
) -> RegionSearch:
    """Return the search of a region of `standing`, given bounds of the start nodes."""
    case = standing.question.cases[domain]

    def see(points: Tensor) -> object:
        return look(case, points)

    return RegionSearch(standing, domain, problem, known, settings, clock, see, meetings)


def region_of(question: Question, domain: int) -> Region:
    """Return one of the regions of a question."""
    return part_of(question.region, torch.tensor([domain]))


def _bounds_of(standing: Standing, domain: int, problem: Problem) -> dict[str, Interval]:
    """Return the bounds of the start nodes on a region, computed anew where none are known."""
    index = (standing.domains == domain).nonzero().flatten()
    if not len(index) or not standing.bounds:
        return _new_bounds(problem)
    return {
        name: Interval(box.lower[index], box.upper[index]) for name, box in standing.bounds.items()
    }


def _new_bounds(problem: Problem) -> dict[str, Interval]:
    return intermediate_bounds(problem, by_rows=True, keep_best=True).sharpest
