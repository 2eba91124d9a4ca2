"""The table of a plan: the memory and the time of each number of shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from boundmesh.plan.plan import Plan, Prediction
from boundmesh.plan.terms import Term
from boundmesh.report.amounts import of_shards, of_size, of_time

COLUMNS = {
    Term.WEIGHTS: "weights",
    Term.FETCHED: "fetched",
    Term.ROWS: "rows",
    Term.LINES: "lines",
    Term.SLOPES: "α",
    Term.GRADIENTS: "gradients",
    Term.TILE_GRADIENTS: "gradients",
    Term.BOUNDS: "bounds",
    Term.WORKSPACE: "workspace",
    Term.REGION: "region",
    Term.OTHER: "other",
}
"""The terms of memory, by the headings of their columns."""
SHOWN = 0.01
"""A term has a column if it is so large a part of some line's peak."""


def with_terms(plan: Plan) -> list[str]:
    """Write the table with a column for each large term of memory, and one for the rest."""
    return _table(plan, _large_terms(plan))


def without_terms(plan: Plan) -> list[str]:
    """Write the table without columns for the terms of memory."""
    return _table(plan, [])


def terms_by_line(plan: Plan) -> Iterator[str]:
    """Write for each number of shards the terms of memory at its peak."""
    names = _large_terms(plan)
    for line in plan.lines:
        sizes = dict(zip([*names, "rest"], _sizes(line, names), strict=True))
        words = (f"{name} {of_size(size)}" for name, size in sizes.items() if size >= 1)
        yield f"{of_shards(line.shards)}: {', '.join(words)}"


def _table(plan: Plan, names: Sequence[str]) -> list[str]:
    heads = ["shards", "schedule", *names, *(["rest"] if names else []), "peak", "time", "fits"]
    rows = [heads, *(_row(plan, line, names) for line in plan.lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(plan: Plan, line: Prediction, names: Sequence[str]) -> list[str]:
    sizes = [*(_sizes(line, names) if names else []), line.peak]
    fits = "" if plan.memory is None else "yes" if plan.holds(line) else "no"
    return [str(line.shards), line.schedule, *map(of_size, sizes), of_time(line.seconds), fits]


def _large_terms(plan: Plan) -> list[str]:
    """Return the headings of the terms that are a large part of some peak."""
    headings = dict.fromkeys(COLUMNS.values())
    return [
        name
        for name in headings
        if any(_size(line, name) >= SHOWN * line.peak for line in plan.lines)
    ]


def _sizes(line: Prediction, names: Sequence[str]) -> list[float]:
    """Return the bytes of each of the terms `names`, then those of all others."""
    sizes = [_size(line, name) for name in names]
    return [*sizes, line.peak - sum(sizes)]


def _size(line: Prediction, name: str) -> float:
    return sum(size for term, size in line.terms.items() if COLUMNS[term] == name)
