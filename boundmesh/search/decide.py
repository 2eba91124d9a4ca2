"""Splits the regions that bounds leave open until they are decided or time is up."""

from __future__ import annotations

import torch

from boundmesh.proof.account import SearchAccount
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.search.joint_search import open_together, search_together
from boundmesh.search.parallel.groups import ONE_GROUP, Groups
from boundmesh.search.searching import LookInCase, Searching
from boundmesh.settings import BoundSettings, BranchSettings

# So many regions at most are split together.
JOINED = 4096


def branch(
    standing: Standing,
    bounds: BoundSettings,
    settings: BranchSettings,
    clock: Clock,
    look: LookInCase,
    groups: Groups = ONE_GROUP,
    number: int = 0,
) -> list[SearchAccount]:
    """Search the open regions of `standing`, and enter there the clauses refuted.

    Boxes of few inputs are first split together, on one device. The others, and what that leaves
    open, are searched one by one.

    `number` is the number of the question, from 0. Only the first group calls this; the others call
    `assist`. Raises OutOfTime. The account of the search in progress is the last of
    `standing.searches`.
    """
    searching = Searching(bounds, settings, clock, look, groups, number)
    if _found_together(searching, standing):
        return standing.searches
    for domain in standing.open.any(1).nonzero().flatten().tolist():
        if _found_in(searching, standing, domain):
            break
    return standing.searches


def _found_together(searching: Searching, standing: Standing) -> bool:
    """Split boxes of few inputs together; return True if a counterexample was found."""
    if not searching.groups.size == searching.groups.ranks == 1:
        return False
    chosen = searching.bounds, searching.settings, searching.clock, searching.look
    for regions in open_together(standing, searching.settings).split(JOINED):
        if not len(regions):
            break
        if search_together(standing, regions, *chosen).found:
            return True
    return False


def _found_in(searching: Searching, standing: Standing, domain: int) -> bool:
    """Search one region, and enter the clauses refuted; return True if one was broken."""
    margins, clauses = standing.question.margins, standing.open[domain].nonzero().flatten()
    if not all(margins.rows_of(clause) for clause in clauses.tolist()):
        return False  # A clause without atoms holds everywhere, so nothing can refute it.
    with_choices = margins.factored[clauses]
    plain = clauses[~with_choices]
    if len(plain):
        search = searching.region(standing, domain)
        if search.stuck and not search.found:
            search = searching.halves_in_float64(standing, domain, search)
        if search.found:
            return True
        if not search.stuck and not search.open:
            standing.close(domain, plain, search.proved)
    for clause in clauses[with_choices].tolist():
        search = searching.clause(standing, domain, clause)
        if search.found:
            return True
        if not search.stuck:
            standing.close(domain, torch.tensor([clause]), search.proved)
    return False
