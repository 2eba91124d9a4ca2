"""Tables of margins: for each condition what every method reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from boundmesh.proof.standing import Reached
from boundmesh.property import Clause, Property
from boundmesh.report import words as terms
from boundmesh.report.facts import of_margin
from boundmesh.report.page import words
from boundmesh.report.page.scale import around_zero

MOST_ROWS = 30
"""So many conditions are shown, those nearest to failing first."""
AGAIN = "·"
"""Stands where a method did not bound a condition that was proved before."""


@dataclass(frozen=True)
class Bar:
    """A bar from `left`, `width` wide, in percent of its cell; `zero` is the place of 0."""

    left: float
    width: float
    zero: float
    proved: bool


@dataclass(frozen=True)
class Row:
    """A condition: its label, what each method reached, and a bar of the best margin."""

    label: str
    cells: tuple[str, ...]
    best: float
    bar: Bar | None


@dataclass(frozen=True)
class MarginTable:
    """The margins of all conditions, the smallest first.

    methods  the names of the methods, heads of columns
    rows     at most MOST_ROWS rows
    every    how many conditions there are
    proved   how many of them are proved
    again    True if some cell is AGAIN: a method left a proved margin as it was
    wide     True where the bars are drawn on a logarithmic scale
    """

    methods: tuple[str, ...]
    rows: tuple[Row, ...]
    every: int
    proved: int
    again: bool
    wide: bool

    @property
    def left_out(self) -> int:
        return self.every - len(self.rows)


def margin_table(reached: Sequence[Reached], prop: Property) -> MarginTable | None:
    """Make the table of margins; None where no method bounded anything."""
    stages = list(dict.fromkeys(each.stage for each in reached))
    questions: dict[tuple[int, ...], list[Reached]] = {}
    for each in reached:
        questions.setdefault(each.cases, []).append(each)
    conditions: list[tuple[str, tuple[str, ...], float]] = []
    for cases, steps in questions.items():
        clauses = prop.cases[cases[0]].clauses
        among = _regions(cases, len(prop.cases))
        for place, clause in enumerate(clauses):
            values = [(step.stage, float(step.margins[place])) for step in steps]
            conditions.append((_label(clause, prop) + among, _cells(values, stages), values[-1][1]))
    if not conditions:
        return None
    conditions.sort(key=lambda row: row[2])
    shown = conditions[:MOST_ROWS]
    finite = [best for _, _, best in shown if math.isfinite(best)]
    scale = around_zero(finite)
    zero = 100 * scale.place(0.0)

    def bar(best: float) -> Bar | None:
        if not math.isfinite(best):
            return None
        end = 100 * scale.place(best)
        return Bar(round(min(zero, end), 2), round(abs(end - zero), 2), round(zero, 2), best > 0)

    rows = tuple(Row(label, cells, best, bar(best)) for label, cells, best in shown)
    return MarginTable(
        tuple(map(words.method, stages)),
        rows,
        len(conditions),
        sum(best > 0 for _, _, best in conditions),
        any(AGAIN in row.cells for row in rows),
        scale.bend is not float,
    )


def _label(clause: Clause, prop: Property) -> str:
    return terms.of_clause(clause, prop)


def _regions(cases: tuple[int, ...], every: int) -> str:
    if every == 1:
        return ""
    return f" in region {cases[0] + 1}" if len(cases) == 1 else f" in {len(cases)} regions"


def _cells(values: Sequence[tuple[str, float]], stages: Sequence[str]) -> tuple[str, ...]:
    known, before = {}, -math.inf
    for stage, value in values:
        known[stage] = AGAIN if before > 0 and value == before else of_margin(value)
        before = value
    return tuple(known.get(stage, "") for stage in stages)
