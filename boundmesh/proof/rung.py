"""A rung of the ladder: one bound method, used on the clauses that are open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.region import part_of
from boundmesh.operators.interval import Interval
from boundmesh.proof.margins import Margins
from boundmesh.proof.outlook import worthwhile
from boundmesh.proof.standing import Standing, unstable_counts
from boundmesh.runtime.clock import Clock
from boundmesh.settings import BoundSettings

Attempt = Callable[[Standing, Tensor, Mapping[str, Interval]], None]
"""Enters in a standing what else refutes open clauses on the regions `[D]`, given bounds there."""


@dataclass
class Rung:
    """One method at work on the open clauses of a question.

    standing  the place where the margins and bounds that the method finds are entered
    method    the name of the method
    domains   `[D]`: the regions on which some clause is open
    rows      `[S]`: the rows of the clauses that are open on some of these regions
    settings  the settings of the method
    clock     measures the time, and raises OutOfTime at the deadline
    attempt   refutes open clauses by other means, between iterations; None where there are none
    pause     called between iterations; the method ends where it returns True
    begun     the clock's seconds when the method began
    reached   the margins of all clauses that the method itself has found, `[D·clauses]`, before its
              first iteration and after each; it stays empty where no search follows
    """

    standing: Standing
    method: str
    domains: Tensor
    rows: Tensor
    settings: BoundSettings
    clock: Clock
    attempt: Attempt | None
    pause: Callable[[], bool]
    begun: float = 0.0
    reached: list[Tensor] = field(default_factory=list)

    def climb(self) -> Mapping[str, tuple[int, int]]:
        """Enter the margins and bounds of the method; return the unstable neurons after it.

        Raises OutOfTime.
        """
        question, settings = self.standing.question, self.settings
        region, layout = part_of(question.region, self.domains), question.layout
        problem = question.problem(region, settings, self.clock)
        rows = question.margins.dense(self.rows, layout.dtype, layout.device)
        sizes = settings.iterations, settings.learning_rate, settings.decay
        self.begun = self.clock.spent
        bounded = METHODS[self.method].bound(
            problem, rows, MethodOptions(*sizes, weigh=self.weigh, stop=self.stop)
        )
        self.note(bounded.lower)
        if bounded.bounds is None:
            return {}
        self.standing.bounds, self.standing.domains = bounded.bounds, self.domains
        return unstable_counts(bounded.bounds, problem.program)

    def note(self, lower: Tensor) -> None:
        """Enter the lower bounds `[D, S]` of the rows where they are better. NaN is no bound."""
        entries = self.domains[:, None], self.rows
        margins = self.standing.question.beyond(lower, self.rows)
        self.standing.rows[entries] = torch.fmax(self.standing.rows[entries], margins)

    @property
    def open(self) -> Tensor:
        """The mask `[D, clauses]` of the clauses that are not refuted."""
        return self.standing.open[self.domains]

    def weigh(self, best: Tensor) -> Tensor:
        """Return 1 for each row of a clause that is still open, and 0 for the others, `[D, S]`.

        `best` are the best lower bounds of the rows so far, `[D, S]`.
        """
        self.note(best)
        still = self.open.to(torch.float64) @ self._rows_of_clauses
        self.clock.progress.update(margin=self.standing.worst, open=int(self.standing.open.sum()))
        return (still > 0).to(best)

    def stop(self, best: Tensor, bounds: Mapping[str, Interval]) -> bool:
        """Return True where no clause is open, or where a search is a better use of the time.

        `best` are the best lower bounds of the rows so far, `[D, S]`, and `bounds` the bounds of
        the start nodes. An attempt to refute the open clauses by other means is made after 0, 1, 2,
        4, 8, … iterations.
        """
        self.note(best)
        done = len(self.reached)
        if self.attempt is not None and self.open.any() and done & (done - 1) == 0:
            self.attempt(self.standing, self.domains, bounds)
        if not self.open.any() or self.pause():
            return True
        # Without `auto` no search follows, so all iterations are run.
        return self.settings.method == "auto" and self._search_is_better(best)

    def _search_is_better(self, best: Tensor) -> bool:
        """Enter the margins in `reached`; return True if further iterations promise too little."""
        standing, settings = self.standing, self.settings
        margins = torch.full_like(standing.rows[self.domains], -torch.inf)
        margins[:, self.rows] = standing.question.beyond(best, self.rows)
        self.reached.append(standing.question.margins.clauses(margins).flatten())
        left = settings.iterations - len(self.reached) + 1
        if left <= 0:
            return False
        spent = self.clock.spent - self.begun
        hurried = spent / len(self.reached) * left > self.clock.left / 2
        known = standing.clauses[self.domains].flatten()
        return not worthwhile(self.reached, left, known, hurried=hurried)

    @cached_property
    def _rows_of_clauses(self) -> Tensor:
        return rows_of_clauses(self.standing.question.margins, self.rows)


def rows_of_clauses(margins: Margins, rows: Tensor) -> Tensor:
    """Return a matrix `[clauses, len(rows)]`, float64, that is 1 where a clause has a row."""
    column_of = {int(row): column for column, row in enumerate(rows)}
    table = torch.zeros(len(margins.members), len(rows), dtype=torch.float64)
    for clause in range(len(margins.members)):
        for row in margins.rows_of(clause):
            if row in column_of:
                table[clause, column_of[row]] = 1
    return table
