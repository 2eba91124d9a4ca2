"""Records how far the proof of each question is, and what remains to be proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.sweep.program import Program
from boundmesh.operators.interval import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.question import Question
from boundmesh.property import Property


@dataclass(frozen=True)
class Reached:
    """What one stage reached on the regions of a question, together with the stages before it.

    stage     the name of the stage: a bound method, `float64` or `branch`
    cases     the numbers of the regions' cases in the property, from 0
    margins   `[clauses]`, float64: the best margin of every clause, on the region where it is worst
    unstable  for every start node, how many neurons are unstable, and how many it has; it is empty
              where the stage bounds no start node
    """

    stage: str
    cases: tuple[int, ...]
    margins: np.ndarray
    unstable: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Standing:
    """How far the proof of a question is.

    question  the question
    rows      `[D, S]`: the best margin, minus slack, of every row on every region; > 0 refutes
    bounds    the bounds of the start nodes that the last method found
    domains   the regions that `bounds` belong to
    searches  the accounts of branch and bound
    reached   what each stage reached, in the order of the stages
    settled   `[D, clauses]`: True where exact arithmetic refuted the clause
    searched  `[D, clauses]`: the margin above 0 by which a search refuted the clause, else −∞
    finer     the same proof in float64, which shares the tables of this one; None where the
              question is not bounded in float64, or goes on in it
    """

    question: Question
    rows: Tensor
    bounds: Mapping[str, Interval] = field(default_factory=dict)
    domains: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    searches: list[SearchAccount] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)
    settled: Tensor = field(default_factory=lambda: torch.zeros(1, 1, dtype=torch.bool))
    searched: Tensor = field(default_factory=lambda: torch.full((1, 1), -torch.inf).double())
    finer: Standing | None = None

    @staticmethod
    def at_start(question: Question) -> Standing:
        shape = (question.region.domains, len(question.slack))
        rows = torch.full(shape, -torch.inf, dtype=torch.float64)
        table = question.region.domains, len(question.margins.members)
        settled = torch.zeros(table, dtype=torch.bool)
        searched = torch.full(table, -torch.inf, dtype=torch.float64)
        return Standing(question, rows, settled=settled, searched=searched)

    @property
    def clauses(self) -> Tensor:
        """The best margin of every clause on every region, `[D, clauses]`; ∞ where settled."""
        known = torch.maximum(self.question.margins.clauses(self.rows), self.searched)
        return known.masked_fill(self.settled, torch.inf)

    @property
    def open(self) -> Tensor:
        """The mask of clauses that are not refuted, `[D, clauses]`; a clause with NaN is open."""
        return ~(self.clauses > 0)

    @property
    def worst(self) -> float:
        """The margin that is furthest from a proof; it is ∞ for a property without clauses."""
        table = self.clauses
        return table.min().item() if table.numel() else float("inf")

    @property
    def furthest(self) -> float:
        """The worst margin, as improved by the search in progress if there is one."""
        going = [search.worst for search in self.searches if search.open or search.stuck]
        return max([self.worst, *going[-1:]])

    def close(self, domain: int, clauses: Tensor, margin: float) -> None:
        """Enter that splitting a region refuted `clauses` there, with the proved `margin` > 0."""
        self.searched[domain, clauses] = self.searched[domain, clauses].clamp(min=margin)

    def enter(self, stage: str, unstable: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Enter in `reached` what is known after a stage."""
        table = self.clauses
        worst = table.amin(0) if len(table) else table.new_empty(table.shape[1])
        reached = Reached(stage, self.question.cases, worst.numpy().copy(), unstable or {})
        self.reached.append(reached)

    def open_rows(self, domains: Tensor) -> Tensor:
        """Return the rows of the clauses that are open on some region of `domains`."""
        still = self.open[domains].any(0).nonzero().flatten().tolist()
        rows_of = self.question.margins.rows_of
        return torch.tensor(
            sorted({row for clause in still for row in rows_of(clause)}), dtype=torch.long
        )


def unstable_counts(bounds: Mapping[str, Interval], program: Program) -> dict[str, tuple[int, int]]:
    """Return for every start node how many neurons are unstable in some domain, and their number.

    A neuron that is unstable in several domains counts once.
    """
    return {
        start: (int(program.unstable(start, bounds).any(0).sum()), program.graph[start].size)
        for start in program.starts
        if start in bounds
    }


def open_clauses(standings: list[Standing]) -> dict[int, list[int]]:
    """Return the open clauses of each case that has some."""
    return {
        case: clauses.nonzero().flatten().tolist()
        for standing in standings
        for case, clauses in zip(standing.question.cases, standing.open, strict=True)
        if clauses.any()
    }


def margins_by_case(property: Property, standings: Sequence[Standing]) -> np.ndarray:
    """Return the best margins of all clauses, float64 `[cases, most clauses]`.

    They are −∞ where no bound was computed, and ∞ where a case has no such clause or no input.
    """
    counts = [len(case.clauses) for case in property.cases]
    margins = np.full((len(counts), max(counts, default=0)), np.inf)
    for case, count in enumerate(counts):
        margins[case, :count] = np.inf if property.cases[case].region.empty else -np.inf
    for standing in standings:
        for case, row in zip(standing.question.cases, standing.clauses.numpy(), strict=True):
            margins[case, : len(row)] = row
    return margins


def worst_margin(standings: list[Standing]) -> float:
    """Return the worst margin: of the open domains of a search, else of the bounds alone."""
    return min((standing.furthest for standing in standings), default=float("-inf"))


def what_remains(standings: list[Standing]) -> str:
    """Explain in words why a property is not decided."""
    if not standings:
        return "no bound was computed"
    still = sum(int(standing.open.sum()) for standing in standings)
    total = sum(standing.open.numel() for standing in standings)
    words = f"{still} of {total} conditions could not be excluded"
    worst = worst_margin(standings)
    if worst == float("-inf"):
        words += ", and the worst has no finite bound"
    else:
        words += f"; the worst margin is {worst:.6g}, not above 0"
    searches = [search for standing in standings for search in standing.searches]
    if searches:
        last = searches[-1]
        visited = sum(search.visited for search in searches)
        words += f"; branch and bound visited {visited} domains, {last.open} are open"
        if stuck := sum(search.stuck for search in searches):
            words += f", {stuck} have nothing left to split"
    return words
