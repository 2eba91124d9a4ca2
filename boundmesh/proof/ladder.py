"""From cheap bounds to tight ones, until every clause is refuted or the methods are used up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region, part_of
from boundmesh.operators.interval import Interval
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.margins import Margins
from boundmesh.runtime.clock import Clock
from boundmesh.settings import BoundSettings

FEW_INPUTS = 8
"""A box with at most so many free inputs is split by input, which is cheaper than optimising."""

AUTO = ("crown-ibp", "alpha-crown")
"""The methods that `--method auto` uses in turn."""


@dataclass(frozen=True)
class Question:
    """The question whether all clauses of `margins` are refuted on each of D regions.

    margins   the clauses as S rows of the output
    region    the D regions
    cases     the place of each region's case in the property
    slack     `[S]`: each margin must exceed it
    layout    the device or devices that hold the weights
    rounding  the roundings that bounds outweigh; None where arithmetic is trusted
    """

    margins: Margins
    region: Region
    cases: tuple[int, ...]
    slack: Tensor
    layout: DeviceLayout
    rounding: Rounding | None = None

    def problem(self, region: Region, settings: BoundSettings, clock: Clock) -> Problem:
        program = Program(self.margins.graph, self.margins.graph.output)
        tile_elements, check = settings.tile_elements, clock.check
        return Problem(program, region, self.layout, tile_elements, check, self.rounding)

    @property
    def offset(self) -> Tensor:
        """The number that the lower bound of each row must exceed, float64 `[S]`."""
        return self.margins.bound + self.slack

    def beyond(self, lower: Tensor, rows: Tensor) -> Tensor:
        """Turn lower bounds of `rows` into margins minus slack, float64 `[D, len(rows)]`."""
        return lower.double().cpu() - self.offset[rows]


@dataclass
class Standing:
    """How far the proof of a question is.

    question  the question
    rows      `[D, S]`: the best margin, minus slack, of every row on every region; > 0 refutes
    bounds    the bounds of the start nodes that the last method found
    domains   the regions that `bounds` belong to
    searches  the accounts of branch and bound
    """

    question: Question
    rows: Tensor
    bounds: Mapping[str, Interval] = field(default_factory=dict)
    domains: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    searches: list[SearchAccount] = field(default_factory=list)

    @staticmethod
    def unknown(question: Question) -> Standing:
        shape = (question.region.domains, len(question.slack))
        return Standing(question, torch.full(shape, -torch.inf, dtype=torch.float64))

    @property
    def clauses(self) -> Tensor:
        """The best margin of every clause on every region, `[D, clauses]`."""
        return self.question.margins.clauses(self.rows)

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
    def reached(self) -> float:
        """The worst margin, as improved by the search in progress if there is one."""
        going = [search.worst for search in self.searches if search.open or search.stuck]
        return max([self.worst, *going[-1:]])

    def close(self, domain: int, clauses: Tensor, margin: float) -> None:
        """Enter that splitting a region refuted `clauses` there, with the proved `margin` > 0."""
        for clause in clauses.tolist():
            row = self.question.margins.members[clause][0]
            known = self.rows[domain, row]
            self.rows[domain, row] = max(float(known), margin)

    def open_rows(self, domains: Tensor) -> Tensor:
        """The rows of the clauses that are open on some region of `domains`."""
        still = self.open[domains].any(0).nonzero().flatten().tolist()
        members = self.question.margins.members
        return torch.tensor(
            sorted({row for clause in still for row in members[clause]}), dtype=torch.long
        )


def climb(
    standing: Standing, settings: BoundSettings, clock: Clock, stage: str | None = None
) -> None:
    """Use the methods of `settings.method` in turn on the clauses that are open.

    The clock counts each method as a stage of the method's name, or all of them as `stage`. Raises
    OutOfTime.
    """
    for method in _steps(standing.question, settings):
        domains = standing.open.any(1).nonzero().flatten()
        rows = standing.open_rows(domains)
        if not len(rows):
            return
        with clock.stage(stage or method, _extent(len(rows), len(domains))):
            _improve(standing, method, domains, rows, settings, clock)
            clock.progress.update(margin=standing.worst, open=int(standing.open.sum()))


def _extent(rows: int, regions: int) -> str:
    return f"{rows} rows" if regions == 1 else f"{rows} rows on {regions} regions"


def _steps(question: Question, settings: BoundSettings) -> tuple[str, ...]:
    if settings.method != "auto":
        return (settings.method,)
    return AUTO[:-1] if free_inputs(question.region) <= FEW_INPUTS else AUTO


def free_inputs(region: Region) -> int:
    """Return how many inputs can vary, the most of any domain.

    An input whose ends are neighbouring floats does not count: such a range encloses a single
    number, such as a decimal, that no float holds.
    """
    box = region.interval
    next_up = torch.nextafter(box.lower, torch.full_like(box.lower, torch.inf))
    return int((next_up < box.upper).flatten(1).sum(1).max())


def _improve(
    standing: Standing,
    method: str,
    domains: Tensor,
    rows: Tensor,
    settings: BoundSettings,
    clock: Clock,
) -> None:
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

    options = MethodOptions(
        settings.iterations,
        settings.learning_rate,
        settings.decay,
        weigh,
        stop=lambda best: not note(best).any(),
    )
    found = METHODS[method].bound(problem, wanted_rows, options)
    note(found.lower)
    if found.bounds is not None:
        standing.bounds, standing.domains = found.bounds, domains


def _rows_of_clauses(margins: Margins, rows: Tensor) -> Tensor:
    """Return a matrix `[clauses, len(rows)]`, float64, that is 1 where a clause has a row."""
    place = {int(row): column for column, row in enumerate(rows)}
    table = torch.zeros(len(margins.members), len(rows), dtype=torch.float64)
    for clause, members in enumerate(margins.members):
        for row in members:
            if row in place:
                table[clause, place[row]] = 1
    return table


def unstable_counts(bounds: Mapping[str, Interval], program: Program) -> dict[str, tuple[int, int]]:
    """Return for every start node how many neurons are unstable in some domain, and their number.

    A neuron that is unstable in several domains counts once.
    """
    return {
        start: (int(program.unstable(start, bounds).any(0).sum()), program.graph[start].size)
        for start in program.starts
        if start in bounds
    }
