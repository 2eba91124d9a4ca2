"""Complete verification: regions that bounds leave open are split until decided or out of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

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
from boundmesh.runtime.progress import Progress
from boundmesh.search.choice_search import ChoiceSearch
from boundmesh.search.joint_search import open_together, search_together
from boundmesh.search.narrowed import Narrowed
from boundmesh.search.parallel.groups import ONE_GROUP, Groups, Meetings
from boundmesh.search.region_search import RegionSearch, by_input
from boundmesh.settings import BoundSettings, BranchSettings

# So many regions at most are split together.
JOINED = 4096
# A search in float64 may bound so many times the boxes of one in float32 that gave some up.
MORE = 4

Look = Callable[[int, Tensor], object]
"""Replays inputs `[K, *input_shape]` of a case; returns the counterexample among them, or None."""


@dataclass(frozen=True)
class Task:
    """A search that the first group starts in all groups: one region of one question.

    question  the place of the question
    dtype     the arithmetic in which it is searched
    domain    the place of the region in the question
    part      the part of the region and of the clauses that is searched; None for all
    rows      `[S]`: the best margins of the rows so far
    settled   `[clauses]`: True where exact arithmetic refuted the clause
    slack     `[S]`: the question's slack
    bounds    the bounds of the start nodes
    seconds   how long the search may take
    """

    question: int
    dtype: torch.dtype
    domain: int
    part: Narrowed | None
    rows: Tensor
    settled: Tensor
    slack: Tensor
    bounds: dict[str, Interval]
    seconds: float


def branch(
    standing: Standing,
    bounds: BoundSettings,
    settings: BranchSettings,
    clock: Clock,
    look: Look,
    groups: Groups = ONE_GROUP,
    place: int = 0,
) -> list[SearchAccount]:
    """Search the open regions of `standing`, and enter there the clauses refuted.

    Boxes of few inputs are first split together, on one device. The others, and what that leaves
    open, are searched one by one.

    `place` is the place of the question. Only the first group calls this; the others call `assist`.
    Raises OutOfTime. The account of the search in progress is the last of `standing.searches`.
    """
    question = standing.question
    searching = Searching(bounds, settings, clock, look, groups, place)
    if groups.size == groups.ranks == 1:
        for regions in open_together(standing, settings).split(JOINED):
            if not len(regions):
                break
            joint = search_together(standing, regions, bounds, settings, clock, look)
            if joint.found:
                return standing.searches
    for domain in standing.open.any(1).nonzero().flatten().tolist():
        clauses = standing.open[domain].nonzero().flatten()
        if any(not question.margins.rows_of(clause) for clause in clauses.tolist()):
            continue  # A clause without atoms holds everywhere, so nothing can refute it.
        plain = clauses[~question.margins.factored[clauses]]
        if len(plain):
            search = searching.region(standing, domain)
            if search.stuck and not search.found:
                search = searching.halves_in_float64(standing, domain, search)
            if search.found:
                return standing.searches
            if not search.stuck and not search.open:
                standing.close(domain, plain, search.proved)
        for clause in clauses[question.margins.factored[clauses]].tolist():
            search = searching.clause(standing, domain, clause)
            if search.found:
                return standing.searches
            if not search.stuck:
                standing.close(domain, torch.tensor([clause]), search.proved)
    return standing.searches


@dataclass(frozen=True)
class Searching:
    """The settings, clock, replays and groups that the searches of one question share.

    `place` is the place of the question.
    """

    bounds: BoundSettings
    settings: BranchSettings
    clock: Clock
    look: Look
    groups: Groups
    place: int

    def region(
        self, standing: Standing, domain: int, part: Narrowed | None = None, whole: int = 0
    ) -> SearchAccount:
        """Search a region of `standing`, in all groups.

        Where `standing` is about a part of a region, `whole` is that region's place.
        """
        question = standing.question
        problem = standing.question.problem(
            _region(standing.question, domain), self.bounds, self.clock
        )
        known = _bounds_of(standing, domain, problem)
        if self.groups.size > 1:
            rows, there = standing.rows[domain].clone(), _moved(known, torch.device("cpu"))
            settled, slack = standing.settled[domain], question.slack
            at = domain if part is None else whole
            sent = None if part is None else part.to(torch.device("cpu"))
            left = self.clock.left
            dtype = question.layout.dtype
            task = Task(self.place, dtype, at, sent, rows, settled, slack, there, left)
            self.groups.broadcast_object(task)
        meetings = Meetings(self.groups)
        with meetings.ending_all():
            return _search(
                standing, domain, problem, known, self.settings, self.clock, self.look, meetings
            )

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
        region = _region(finer.question, domain)
        if not isinstance(region, BoxRegion):
            return search
        problem = finer.question.problem(region, self.bounds, self.clock)
        again = RegionSearch(
            finer,
            domain,
            problem,
            {},
            self.settings,
            self.clock,
            lambda points: self.look(finer.question.cases[domain], points),
            Meetings(self.groups),
        ).halve(MORE * search.visited)
        # The boxes that were given up are searched again.
        search.stuck, search.hardest = 0, float("inf")
        return again

    def clause(self, standing: Standing, domain: int, clause: int) -> SearchAccount:
        """Search a region for a clause that has choices."""
        question = standing.question

        def search(part: Narrowed, margins: Tensor, attempts: list[SearchAccount]) -> None:
            own = Standing.at_start(part.of(question, domain))
            own.rows[0], own.searches = margins, attempts
            self.region(own, 0, part, domain)

        def divides_inputs(narrowed: Question) -> bool:
            problem = narrowed.problem(narrowed.region, self.bounds, self.clock)
            known = intermediate_bounds(problem, by_rows=True, keep_best=True).sharpest
            return isinstance(narrowed.region, BoxRegion) and by_input(
                self.settings, problem, known
            )

        found = ChoiceSearch(
            question,
            domain,
            clause,
            standing.rows[domain],
            self.bounds,
            self.clock,
            lambda points: self.look(question.cases[domain], points),
            divides_inputs,
            search,
        )
        standing.searches.append(found.account)
        return found.run()


def assist(
    questions: Callable[[torch.dtype], Sequence[Question]],
    bounds: BoundSettings,
    settings: BranchSettings,
    progress: Progress,
    look: Look,
    groups: Groups,
) -> object:
    """Take part in every search that the first group starts; return its final message.

    `questions` returns the questions in the arithmetic that is given.
    """
    while isinstance(task := groups.broadcast_object(None), Task):
        clock, meetings = Clock(task.seconds, progress), Meetings(groups)
        clock.agree = groups.agree
        # An error stops this search in all groups. The first group then sends its outcome.
        with suppress(Exception, KeyboardInterrupt), meetings.ending_all():
            question = replace(questions(task.dtype)[task.question], slack=task.slack)
            domain = task.domain
            if task.part is not None:
                part = task.part.to(question.layout.device)
                question, domain = part.of(question, domain), 0
            standing = Standing.at_start(question)
            standing.rows[domain], standing.settled[domain] = task.rows, task.settled
            problem = question.problem(_region(question, domain), bounds, clock)
            known = _moved(task.bounds, problem.layout.device)
            _search(standing, domain, problem, known, settings, clock, look, meetings)
    return task


def _search(
    standing: Standing,
    domain: int,
    problem: Problem,
    known: dict[str, Interval],
    settings: BranchSettings,
    clock: Clock,
    look: Look,
    meetings: Meetings,
) -> SearchAccount:
    case = standing.question.cases[domain]

    def see(points: Tensor) -> object:
        return look(case, points)

    return RegionSearch(standing, domain, problem, known, settings, clock, see, meetings).run()


def _region(question: Question, domain: int) -> Region:
    return part_of(question.region, torch.tensor([domain]))


def _moved(bounds: dict[str, Interval], device: torch.device) -> dict[str, Interval]:
    return {name: box.to(device) for name, box in bounds.items()}


def _bounds_of(standing: Standing, domain: int, problem: Problem) -> dict[str, Interval]:
    place = (standing.domains == domain).nonzero().flatten()
    if not len(place) or not standing.bounds:
        return intermediate_bounds(problem, by_rows=True, keep_best=True).sharpest
    return {
        name: Interval(box.lower[place], box.upper[place]) for name, box in standing.bounds.items()
    }
