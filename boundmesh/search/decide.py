"""Complete verification: what bounds leave open is split until it is decided or time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.region import Region, part_of
from boundmesh.operators.operator import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.ladder import Question, Standing
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.progress import Progress
from boundmesh.search.parallel.groups import ONE_GROUP, Groups, Meetings
from boundmesh.search.region_search import RegionSearch
from boundmesh.settings import BoundSettings, BranchSettings

Look = Callable[[int, Tensor], object]
"""Is told a case and inputs `[K, *input_shape]` worth replaying; says what was found, or None."""


@dataclass(frozen=True)
class Task:
    """What the first group asks of the others: to search region `domain` of a question, of whose
    rows `[S]` these are the best margins and of whose start nodes these the bounds."""

    question: int
    domain: int
    rows: Tensor
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
    """Search what is open in `standing`, the question at `place`, region by region, and enter there
    what was refuted.

    Other groups than the first one `assist`. Raises OutOfTime; the account of the search in
    progress is the last of `standing.searches`.
    """
    question = standing.question
    for domain in standing.open.any(1).nonzero().flatten().tolist():
        clauses = standing.open[domain].nonzero().flatten()
        if any(not question.margins.members[clause] for clause in clauses.tolist()):
            continue  # a clause without atoms holds everywhere: nothing can refute it
        problem = question.problem(_region(question, domain), bounds, clock)
        known = _bounds_of(standing, domain, problem)
        if groups.size > 1:
            rows, bounds_there = standing.rows[domain].clone(), _moved(known, torch.device("cpu"))
            task = Task(place, domain, rows, question.slack, bounds_there, clock.left)
            groups.first_says(task)
        meetings = Meetings(groups)
        with meetings.together():
            search = _search(standing, domain, problem, known, settings, clock, look, meetings)
        if search.found:
            return standing.searches
        if not search.stuck:
            standing.close(domain, clauses, search.proved)
    return standing.searches


def assist(
    questions: Callable[[], Sequence[Question]],
    bounds: BoundSettings,
    settings: BranchSettings,
    progress: Progress,
    look: Look,
    groups: Groups,
) -> object:
    """Take part in every search that the first group begins; what it says in the end instead."""
    while isinstance(task := groups.first_says(None), Task):
        clock, meetings = Clock(task.seconds, progress), Meetings(groups)
        clock.agree = groups.agree
        # Whatever stops this search stops it in all groups; the first one says what comes of it.
        with suppress(Exception, KeyboardInterrupt), meetings.together():
            question = replace(questions()[task.question], slack=task.slack)
            standing = Standing.unknown(question)
            standing.rows[task.domain] = task.rows
            problem = question.problem(_region(question, task.domain), bounds, clock)
            known = _moved(task.bounds, problem.layout.device)
            _search(standing, task.domain, problem, known, settings, clock, look, meetings)
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
