"""Complete verification: what bounds leave open is split until it is decided or time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bab.activation_split import ActivationSplitting
from boundmesh.bab.groups import ONE_GROUP, Groups, Meetings
from boundmesh.bab.input_split import InputSplitting
from boundmesh.bab.refine import Effort, refine
from boundmesh.bab.search import Search
from boundmesh.bounds.crown import Problem, intermediate_bounds
from boundmesh.bounds.neurons import neurons_of
from boundmesh.bounds.region import BoxRegion, Region, part_of
from boundmesh.clock import Clock
from boundmesh.ladder import FEW_INPUTS, Question, Standing, free_inputs
from boundmesh.report.progress import Progress
from boundmesh.rules.operator import Interval
from boundmesh.settings import BoundSettings, BranchSettings

# Seconds that all refinements between two attempts count on where no deadline is nearer.
LONGEST_REFINEMENT = 240
# Domains that the rows of one start node are split into, at most.
MOST_PARTS = 2**18
# Domains that the first attempt may bound, at least.
LEAST_PATIENCE = 2048

Look = Callable[[int, Tensor], object]
"""Is told a case and inputs `[K, *input_shape]` worth replaying; says what was found, or None."""

LookAt = Callable[[Tensor], object]
"""The same for one case."""


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
) -> list[Search]:
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
) -> Search:
    """Search one region for its open clauses; the account of all groups.

    All groups run this in step: what comes next may depend on `whole` and on what was said in a
    meeting, not on what one group alone knows.
    """
    case, clauses = standing.question.cases[domain], standing.open[domain].nonzero().flatten()

    def see(points: Tensor) -> object:
        return look(case, points)

    is_box = isinstance(problem.region, BoxRegion)
    if is_box and _by_input(settings, problem, known):
        return _split_inputs(standing, clauses, problem, settings, clock, see, meetings)
    search = _split_neurons(
        standing, domain, clauses, problem, known, settings, clock, see, meetings
    )
    # What no split of neurons decides may be decided by smaller boxes.
    if is_box and search.stuck and not search.found:
        return _split_inputs(standing, clauses, problem, settings, clock, see, meetings)
    return search


def _split_inputs(
    standing: Standing,
    clauses: Tensor,
    problem: Problem,
    settings: BranchSettings,
    clock: Clock,
    look: LookAt,
    meetings: Meetings,
) -> Search:
    """Search with boxes halved until every clause is refuted on each."""
    margins, offset = standing.question.margins.only(clauses), standing.question.offset
    splitting = InputSplitting(problem, margins, offset, settings, clock, look, meetings)
    standing.searches.append(splitting.shared.whole)
    assert isinstance(problem.region, BoxRegion)
    with clock.stage("branch"):
        return splitting.run(problem.region)


def _split_neurons(
    standing: Standing,
    domain: int,
    clauses: Tensor,
    problem: Problem,
    bounds: dict[str, Interval],
    settings: BranchSettings,
    clock: Clock,
    look: LookAt,
    meetings: Meetings,
) -> Search:
    """Search with neurons split; while that takes long, sharpen the bounds and begin anew.

    After an attempt's patience the refinement splits deeper, into four times as many domains, as
    the one before. The last attempt, and one whose bounds no refinement sharpens, has no end but
    its own.
    """
    margins, best = standing.question.margins, standing.clauses[domain, clauses]
    attempts = settings.refinements
    for attempt in range(attempts + 1):
        splitting = ActivationSplitting(
            problem, bounds, margins, standing.question.offset, settings, clock, look, meetings
        )
        standing.searches.append(splitting.shared.whole)
        patience = max(LEAST_PATIENCE, 2 * splitting.batch) * 2 ** max(0, attempt - 1)
        last = attempt == attempts
        with clock.stage("branch"):
            search = splitting.run(clauses, best, float("inf") if last else patience)
        if last or search.found or not search.open:
            return search
        with clock.stage("refine"):
            effort = Effort(
                levels=4 + 3 * attempt,
                domains=min(MOST_PARTS, 8 * splitting.batch * 4**attempt),
                seconds=min(clock.left, LONGEST_REFINEMENT) / 4,
                ascent=splitting.ascent,
            )
            sharper = refine(problem, bounds, effort, clock, splitting.batch, meetings)
        if not _sharper(sharper, bounds):
            break
        bounds = sharper
    with clock.stage("branch"):
        return splitting.go_on()


def _sharper(one: dict[str, Interval], other: dict[str, Interval]) -> bool:
    """Whether any bound of one lies inside that of the other."""
    return any(
        bool((one[name].lower > box.lower).any() or (one[name].upper < box.upper).any())
        for name, box in other.items()
    )


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


def _by_input(settings: BranchSettings, problem: Problem, bounds: dict[str, Interval]) -> bool:
    """Few free inputs, or no operator that bends at a point: the input is split."""
    if settings.branching != "auto":
        return settings.branching == "input"
    splittable = bool((~neurons_of(problem.program, bounds).split_points.isnan()).any())
    return not splittable or free_inputs(problem.region) <= FEW_INPUTS
