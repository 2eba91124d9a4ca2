"""Complete verification: what bounds leave open is split until it is decided or time is up."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boundmesh.bab.activation_split import ActivationSplitting
from boundmesh.bab.domain import neurons_of
from boundmesh.bab.input_split import InputSplitting
from boundmesh.bab.search import Search
from boundmesh.bounds.crown import Problem, intermediate_bounds
from boundmesh.bounds.region import BoxRegion, part_of
from boundmesh.clock import Clock
from boundmesh.ladder import Standing
from boundmesh.rules.operator import Interval
from boundmesh.settings import BoundSettings, BranchSettings

FEW_INPUTS = 8
"""Boxes of so many free inputs are split by input: halving them all costs little."""

Look = Callable[[int, Tensor], bool]
"""Is told a case and inputs `[K, *input_shape]` worth replaying; True when one was found."""


def branch(
    standing: Standing,
    bounds: BoundSettings,
    settings: BranchSettings,
    clock: Clock,
    look: Look,
) -> list[Search]:
    """Search what is open in `standing`, region by region, and enter there what was refuted.

    Raises OutOfTime; the account of the search in progress is the last of `standing.searches`.
    """
    question = standing.question
    for domain in standing.open.any(1).nonzero().flatten().tolist():
        where = torch.tensor([domain])
        region = part_of(question.region, where)
        problem = question.problem(region, bounds, clock)
        known = _bounds_of(standing, domain, problem)
        case = question.cases[domain]

        def see(points: Tensor, case: int = case) -> bool:
            return look(case, points)

        clauses = standing.open[domain].nonzero().flatten()
        if any(not question.margins.members[clause] for clause in clauses.tolist()):
            continue  # a clause without atoms holds everywhere: nothing can refute it
        offset = question.margins.bound + question.slack
        by_input = settings.branching == "input" or (
            settings.branching == "auto" and not _worth_splitting_neurons(problem, known)
        )
        if by_input and isinstance(region, BoxRegion):
            margins = question.margins.only(clauses)
            searcher = InputSplitting(problem, margins, offset, settings, clock, see)
            standing.searches.append(searcher.search)
            search = searcher.run(region)
        else:
            splitting = ActivationSplitting(
                problem, known, question.margins, offset, settings, clock, see
            )
            standing.searches.append(splitting.search)
            search = splitting.run(clauses, standing.clauses[domain, clauses])
        if search.found:
            return standing.searches
        if not search.stuck:
            standing.close(domain, clauses, search.proved)
    return standing.searches


def _bounds_of(standing: Standing, domain: int, problem: Problem) -> dict[str, Interval]:
    place = (standing.domains == domain).nonzero().flatten()
    if not len(place) or not standing.bounds:
        return intermediate_bounds(problem, by_rows=True, keep_best=True).sharpest
    return {
        name: Interval(box.lower[place], box.upper[place]) for name, box in standing.bounds.items()
    }


def _worth_splitting_neurons(problem: Problem, bounds: dict[str, Interval]) -> bool:
    box = problem.region.interval
    free = int((box.lower < box.upper).sum())
    splittable = bool((~neurons_of(problem.program, bounds).split_points.isnan()).any())
    return splittable and free > FEW_INPUTS
