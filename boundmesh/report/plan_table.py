"""A plan as text: what was assumed, a line for each number of shards, and what fits."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from boundmesh.plan.planning import Line, Plan, methods_of
from boundmesh.plan.rehearsal import ITERATION
from boundmesh.plan.terms import Term
from boundmesh.report.words import of_graph

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
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
LENGTHS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
NAMES = 3
"""So many start nodes are written out; the rest is counted."""


INDENT = 11
"""The column at which the text of an assumption begins; its name stands in front."""


def of_plan(plan: Plan, width: int | None = None) -> str:
    """Write a plan for people, in lines of at most `width` characters where that is given.

    In a console that is too narrow for a column for each term of memory, the terms are written
    below the table, line by line.
    """
    assumed = [line for text in _assumed(plan) for line in _wrapped(text, width, INDENT)]
    table = list(_table(plan, _names(plan)))
    if width is not None and max(map(len, table)) > width:
        table = [*_table(plan, []), ""]
        table += [line for text in _terms(plan) for line in _wrapped(text, width, 2)]
    rest = [line for text in (*_sweeps(plan), *_verdict(plan)) for line in _wrapped(text, width)]
    return "\n".join([*assumed, "", *table, "", *rest, ""])


def _wrapped(text: str, width: int | None, indent: int = 0) -> list[str]:
    if width is None or len(text) <= width:
        return [text]
    following = " " * min(indent, width // 3)
    # A number stays beside its unit: textwrap does not break at a space of this kind.
    found = textwrap.wrap(
        re.sub(r"(\d) (?=[A-Za-zα]+)", "\\1\u00a0", text),
        width,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\u00a0", " ") for line in found]


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the content of `boundmesh plan --json`."""
    bounding, rates = plan.bounding, plan.machine.rates
    return {
        "fits": plan.fits,
        "memory_bytes": plan.memory,
        "least_shards": plan.least,
        "reserve_bytes": plan.machine.reserve,
        "methods": list(methods_of(bounding)),
        "rows": bounding.rows,
        "domains": bounding.domains,
        "iterations": bounding.iterations,
        "dtype": str(bounding.dtype).removeprefix("torch."),
        "tile_elements": bounding.tile_elements,
        "device": plan.machine.name,
        "rates": {
            "operations_per_second": rates.operations,
            "bytes_per_second": rates.bandwidth,
            "bytes_per_second_between_ranks": rates.link,
            "source": rates.source,
        },
        "unstable": {
            "source": plan.unstable.source,
            "share": plan.unstable.share,
            "by_start": dict(plan.unstable.interval),
        },
        "search": None if plan.search is None else vars(plan.search),
        "tiles": [vars(tile) for tile in plan.tiles],
        "lines": [_line_json(plan, line) for line in plan.lines],
    }


def _line_json(plan: Plan, line: Line) -> dict[str, Any]:
    return {
        "shards": line.shards,
        "schedule": line.schedule,
        "peak_bytes": round(line.peak),
        "fits": plan.holds(line),
        "seconds": line.seconds,
        "terms": {term.name.lower(): round(size) for term, size in line.terms.items() if size},
        "sweeps": {
            name: {
                "operations": round(work.operations),
                "bytes_moved": round(work.moved),
                "bytes_received": round(work.received),
                "seconds": work.total(line.schedule),
            }
            for name, work in line.stages.items()
        },
    }


def _assumed(plan: Plan) -> Iterator[str]:
    bounding = plan.bounding
    yield f"network    {of_graph(bounding.graph)}"
    regions = f" on {bounding.domains} regions" if bounding.domains > 1 else ""
    steps = f", {bounding.iterations} steps" if "alpha-crown" in methods_of(bounding) else ""
    yield (
        f"bounding   {bounding.rows} rows{regions} by {', then '.join(methods_of(bounding))}{steps}"
    )
    yield f"device     {plan.machine.name}, {_dtype(plan)}; nothing is run on it"
    yield f"unstable   {_unstable(plan)}"
    if plan.tiles:
        yield f"tiles      {_tiles(plan)}"
    if plan.search is not None:
        yield (
            f"search     rounds of {plan.search.batch:,} domains, if bounds leave some open; each "
            f"open one takes {of_size(plan.search.domain_bytes)} of host memory"
        )


def _dtype(plan: Plan) -> str:
    return str(plan.bounding.dtype).removeprefix("torch.")


def _unstable(plan: Plan) -> str:
    found = plan.unstable
    if not found.interval:
        origin = "an upper bound; --unstable, a property or --input say more"
        if found.share < 1:
            origin = "as stated"
        return f"{100 * found.share:.3g} % of all neurons, {origin}"
    sizes = {start: plan.bounding.graph[start].size for start in found.interval}
    count = sum(found.rows(start)(size) for start, size in sizes.items())
    return (
        f"{count:,} of {sum(sizes.values()):,} neurons, counted by IBP; a run has fewer, as a rule"
    )


def _tiles(plan: Plan) -> str:
    shown = [
        f"{min(t.height, t.rows):,} of {t.rows:,} rows from {t.start}" for t in plan.tiles[:NAMES]
    ]
    more = len(plan.tiles) - NAMES
    return ", ".join(shown) + (f", and so on for {more} more" if more > 0 else "")


def _names(plan: Plan) -> list[str]:
    """Return the names of the terms that are shown."""
    return [name for name in dict.fromkeys(COLUMNS.values()) if _large(plan, name)]


def _terms(plan: Plan) -> Iterator[str]:
    """Write the terms of the peak of each line."""
    names = _names(plan)
    for line in plan.lines:
        sizes = {name: _of(line, name) for name in names}
        sizes["rest"] = line.peak - sum(sizes.values())
        words = (f"{name} {of_size(size)}" for name, size in sizes.items() if size >= 1)
        yield f"{_shards(line.shards)}: {', '.join(words)}"


def _table(plan: Plan, names: Sequence[str]) -> Sequence[str]:
    """Write a table with a row for each line, and a column for each of the terms `names`."""
    rows = [["shards", "schedule", *names, *(["rest"] if names else []), "peak", "time", "fits"]]
    for line in plan.lines:
        sizes = [_of(line, name) for name in names]
        if names:
            sizes.append(line.peak - sum(sizes))
        fits = "" if plan.memory is None else "yes" if plan.holds(line) else "no"
        rows.append(
            [
                str(line.shards),
                line.schedule,
                *map(of_size, [*sizes, line.peak]),
                of_time(line.seconds),
                fits,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _large(plan: Plan, name: str) -> bool:
    return any(_of(line, name) >= SHOWN * line.peak for line in plan.lines)


def _of(line: Line, name: str) -> float:
    return sum(size for term, size in line.terms.items() if COLUMNS[term] == name)


def _sweeps(plan: Plan) -> Iterator[str]:
    """Name the stages that take longest on the fewest shards."""
    line = plan.lines[0]
    times = {name: work.total(line.schedule) for name, work in line.stages.items()}
    longest = sorted(times, key=lambda name: -times[name])[:NAMES]
    shown = ", ".join(f"{of_time(times[name])} {_stage(name)}" for name in longest)
    yield f"Longest on {_shards(line.shards)}: {shown}."


def _stage(name: str) -> str:
    method, _, stage = name.partition(" ")
    if stage.startswith(ITERATION):
        return f"for each iteration of {method}"
    return f"for rows {stage} ({method})" if stage else f"for {method}"


def _verdict(plan: Plan) -> Iterator[str]:
    rates = plan.machine.rates
    yield (
        f"Times are estimates, at {rates.operations / 1e12:g} TFLOP/s and "
        f"{rates.bandwidth / 1e9:g} GB/s ({rates.source})."
    )
    if plan.memory is None:
        yield "Whether it fits: give the memory of a device, as in --memory 80GiB."
        return
    memory, reserve = of_size(plan.memory), of_size(plan.machine.reserve)
    if plan.least is not None:
        beyond = [line.shards for line in plan.lines if line.shards >= plan.least]
        others = [str(line.shards) for line in plan.lines if not plan.holds(line)
                  and line.shards in beyond]  # fmt: skip
        but = f", but not on {' or '.join(others)}" if others else ""
        more = " or more" if len(beyond) > 1 else ""
        yield (
            f"It fits into {memory} on {_shards(plan.least)}{more}{but}; {reserve} are left to the "
            "device itself."
        )
        return
    best = min(plan.lines, key=lambda line: line.peak)
    largest = max(best.terms, key=lambda term: best.terms[term])
    advice = "" if best.peak < plan.machine.reserve else f" Most are {largest.value}: "
    yield (
        f"It does not fit into {memory}: {_shards(best.shards)} "
        f"need{'s' * (best.shards == 1)} {of_size(best.peak)}, and the device itself {reserve}."
        + (f"{advice}{_advice(largest)}." if advice else "")
    )


def _shards(count: int) -> str:
    return f"{count} shard{'s' * (count > 1)}"


def _advice(term: Term) -> str:
    advice = {
        Term.WEIGHTS: "use more shards, or --offload weights",
        Term.FETCHED: "use --schedule exchange, under which weights stay where they are",
        Term.SLOPES: "use more shards, a smaller share of unstable neurons, or --method crown",
        Term.ROWS: "use a smaller --tile-elements",
        Term.GRADIENTS: "use a smaller --tile-elements",
    }
    return advice.get(term, "use a device with more memory, or a cheaper --method")


def of_size(count: float) -> str:
    """Write a number of bytes with three digits, as in `1.25 GiB`."""
    if count < 1:
        return "-"
    power = min(len(UNITS) - 1, max(0, int(count).bit_length() - 1) // 10)
    number = count / 1024**power
    return (
        f"{number:.0f} {UNITS[power]}"
        if number >= 100 or not power
        else (f"{number:.3g} {UNITS[power]}")
    )


def of_time(seconds: float) -> str:
    """Write a time with two digits, as in `1.2 s`."""
    name, length = next(
        ((name, length) for name, length in LENGTHS.items() if seconds >= 2 * length), ("ms", 1e-3)
    )
    number = seconds / length
    return f"{number:.0f} {name}" if number >= 10 else f"{number:.2g} {name}"
