"""Complete verification: regions that bounds leave open are split until decided or out of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.region import Region, part_of
from boundmesh.operators.interval import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.progress import Progress
from boundmesh.search.parallel.groups import ONE_GROUP, Groups, Meetings
from boundmesh.search.region_search import RegionSearch
from boundmesh.settings import BoundSettings, BranchSettings

Look = Callable[[int, Tensor], object]
"""Replays inputs `[K, *input_shape]` of a case; returns the counterexample among them, or None."""


@dataclass(frozen=True)
class Task:
    """A search that the first group starts in all groups: one region of one question.

    question  the place of the question
    domain    the place of the region in the question
    rows      `[S]`: the best margins of the rows so far
    slack     `[S]`: the question's slack
    bounds    the bounds of the start nodes
    seconds   how long the search may take
    """

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
    """Search the open regions of `standing` one by one, and enter there the clauses refuted.

    `place` is the place of the question. Only the first group calls this; the others call `assist`.
    Raises OutOfTime. The account of the search in progress is the last of `standing.searches`.
    """
    question = standing.question
    for domain in standing.open.any(1).nonzero().flatten().tolist():
        clauses = standing.open[domain].nonzero().flatten()
        if any(not question.margins.members[clause] for clause in clauses.tolist()):
            continue  # A clause without atoms holds everywhere, so nothing can refute it.
        problem = question.problem(_region(question, domain), bounds, clock)
        known = _bounds_of(standing, domain, problem)
        if groups.size > 1:
            rows, bounds_there = standing.rows[domain].clone(), _moved(known, torch.device("cpu"))
            task = Task(place, domain, rows, question.slack, bounds_there, clock.left)
            groups.broadcast_object(task)
        meetings = Meetings(groups)
        with meetings.ending_all():
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
    """Take part in every search that the first group starts; return its final message."""
    while isinstance(task := groups.broadcast_object(None), Task):
        clock, meetings = Clock(task.seconds, progress), Meetings(groups)
        clock.agree = groups.agree
        # An error stops this search in all groups. The first group then sends its outcome.
        with suppress(Exception, KeyboardInterrupt), meetings.ending_all():
            question = replace(questions()[task.question], slack=task.slack)
            standing = Standing.at_start(question)
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
