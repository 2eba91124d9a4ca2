"""From cheap bounds to tight ones, until every clause is refuted or the methods are used up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import part_of
from boundmesh.operators.interval import Interval
from boundmesh.proof.margins import Margins
from boundmesh.proof.outlook import worthwhile
from boundmesh.proof.question import Question, free_inputs
from boundmesh.proof.standing import Standing, unstable_counts
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.settings import BoundSettings

FEW_INPUTS = 8
"""A box with at most so many free inputs is split by input, which is cheaper than optimising."""

Attempt = Callable[[Standing, Tensor, Mapping[str, Interval]], None]
"""Enters in a standing what else refutes open clauses on the regions `[D]`, given bounds there."""

AUTO = ("crown-ibp", "alpha-crown")
"""The methods that `--method auto` uses in turn."""


def climb(
    standing: Standing,
    settings: BoundSettings,
    clock: Clock,
    stage: str | None = None,
    methods: Sequence[str] | None = None,
    attempt: Attempt | None = None,
    pause: Callable[[], bool] = lambda: False,
) -> None:
    """Use `methods`, or else those of `settings.method`, in turn on the clauses that are open.

    The clock counts each method as a stage of the method's name, or all of them as `stage`. Where
    `attempt` is given, it is made between iterations that optimise slopes. `pause` is called
    between them, too, and ends the method if it returns true. Raises OutOfTime.
    """
    for method in steps(standing.question, settings) if methods is None else methods:
        domains = standing.open.any(1).nonzero().flatten()
        rows = standing.open_rows(domains)
        if not len(rows):
            return
        with clock.stage(stage or method, _extent(len(rows), len(domains))):
            try:
                chosen = settings, clock, attempt, pause
                unstable = _improve(standing, method, domains, rows, *chosen)
            except (OutOfTime, KeyboardInterrupt):
                standing.enter(stage or method)
                raise
            standing.enter(stage or method, unstable)
            clock.progress.update(margin=standing.worst, open=int(standing.open.sum()))


def crown_passes(standing: Standing) -> int:
    """Estimate how many passes backward CROWN takes, after a method that found bounds.

    It pulls two rows back for each neuron that is unstable under these bounds, on every region.
    Where nothing is known, every neuron counts.
    """
    question = standing.question
    program = Program(question.margins.graph, question.margins.graph.output)
    unstable = unstable_counts(standing.bounds, program)
    sizes = {start: program.graph[start].size for start in program.starts}
    rows = sum(unstable.get(start, (size, size))[0] for start, size in sizes.items())
    return 2 * rows * int(standing.open.any(1).sum())


def _extent(rows: int, regions: int) -> str:
    return f"{rows} rows" if regions == 1 else f"{rows} rows on {regions} regions"


def steps(question: Question, settings: BoundSettings) -> tuple[str, ...]:
    """Return the methods that are used in turn."""
    if settings.method != "auto":
        return (settings.method,)
    return AUTO[:-1] if free_inputs(question.region) <= FEW_INPUTS else AUTO


def _improve(
    standing: Standing,
    method: str,
    domains: Tensor,
    rows: Tensor,
    settings: BoundSettings,
    clock: Clock,
    attempt: Attempt | None,
    pause: Callable[[], bool],
) -> Mapping[str, tuple[int, int]]:
    """Enter the margins and bounds of one method; return the unstable neurons after it."""
    question = standing.question
    problem = question.problem(part_of(question.region, domains), settings, clock)
    layout = question.layout
    wanted_rows = question.margins.dense(rows, layout.dtype, layout.device)
    rows_of_clauses = _rows_of_clauses(question.margins, rows)

    def note(lower: Tensor) -> Tensor:
        """Keep the best margins; NaN is no margin."""
        found = question.beyond(lower, rows)
        known = standing.rows[domains[:, None], rows]
        standing.rows[domains[:, None], rows] = torch.fmax(known, found)
        return standing.open[domains]

    def weigh(best: Tensor) -> Tensor:
        """1 for the rows of the clauses that are still open, 0 for the others."""
        still = note(best).to(torch.float64) @ rows_of_clauses
        clock.progress.update(margin=standing.worst, open=int(standing.open.sum()))
        return (still > 0).to(best)

    reached: list[Tensor] = []
    begun = clock.spent

    def stop(best: Tensor, bounds: Mapping[str, Interval]) -> bool:
        """End where no clause is open, or where a search is a better use of the time.

        Without `auto` no search follows, so all iterations are run. An attempt to refute the open
        clauses by other means is made after 0, 1, 2, 4, 8, … iterations.
        """
        done = len(reached)
        if note(best).any() and attempt is not None and done & (done - 1) == 0:
            attempt(standing, domains, bounds)
        if not standing.open[domains].any() or pause():
            return True
        if settings.method != "auto":
            return False
        own = torch.full_like(standing.rows[domains], -torch.inf)
        own[:, rows] = question.beyond(best, rows)
        reached.append(question.margins.clauses(own).flatten())
        known = standing.clauses[domains].flatten()
        left = settings.iterations - len(reached) + 1
        if left <= 0:
            return False
        lasts = (clock.spent - begun) / len(reached) * left
        hurried = lasts > clock.left / 2
        return not worthwhile(reached, left, known, hurried=hurried)

    options = MethodOptions(
        settings.iterations,
        settings.learning_rate,
        settings.decay,
        weigh,
        stop,
    )
    found = METHODS[method].bound(problem, wanted_rows, options)
    note(found.lower)
    if found.bounds is None:
        return {}
    standing.bounds, standing.domains = found.bounds, domains
    return unstable_counts(found.bounds, problem.program)


def _rows_of_clauses(margins: Margins, rows: Tensor) -> Tensor:
    """Return a matrix `[clauses, len(rows)]`, float64, that is 1 where a clause has a row."""
    place = {int(row): column for column, row in enumerate(rows)}
    table = torch.zeros(len(margins.members), len(rows), dtype=torch.float64)
    for clause in range(len(margins.members)):
        for row in margins.rows_of(clause):
            if row in place:
                table[clause, place[row]] = 1
    return table
