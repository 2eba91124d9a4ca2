"""Climbs from cheap bounds to tight ones, until every clause is refuted or no method is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from boundmesh.bounds.sweep.program import Program
from boundmesh.proof.question import Question, free_inputs
from boundmesh.proof.rung import Attempt, Rung
from boundmesh.proof.standing import Standing, unstable_counts
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.settings import BoundSettings

FEW_INPUTS = 8
"""A box with at most so many free inputs is split by input, which is cheaper than optimising."""

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

    The clock counts each method as a stage of the method's name, or all of them as `stage`. Between
    iterations that optimise slopes, `attempt` is made where it is given. `pause` is called there as
    well, and the method ends where it returns True. Raises OutOfTime.
    """
    for method in steps(standing.question, settings) if methods is None else methods:
        domains = standing.open.any(1).nonzero().flatten()
        rows = standing.open_rows(domains)
        if not len(rows):
            return
        rung = Rung(standing, method, domains, rows, settings, clock, attempt, pause)
        with clock.stage(stage or method, _extent(len(rows), len(domains))):
            try:
                unstable = rung.climb()
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
