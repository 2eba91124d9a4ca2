"""The page of a benchmark: how many instances were solved, how fast, and which failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boundmesh.graph.graph import counted
from boundmesh.report.page import words
from boundmesh.report.page.bench_chart import cactus_chart
from boundmesh.report.page.bench_rows import (
    DeciderRow,
    FamilyRow,
    InstanceRow,
    decider_rows,
    distance_to_proof,
    family_row,
    instance_row,
    time_label,
)
from boundmesh.report.page.chart import Chart
from boundmesh.report.page.circumstances import Origin, circumstances
from boundmesh.report.page.parts import Card, Head
from boundmesh.report.records import VERDICTS, Record
from boundmesh.report.summary import ALL, Summary
from boundmesh.settings import Settings

MOST_ROWS, MOST_UNDECIDED = 3000, 20


@dataclass(frozen=True)
class BenchPage:
    """The texts, figures and charts that the template `bench.html` shows."""

    head: Head
    lists: tuple[str, ...]
    devices: str
    families: tuple[FamilyRow, ...]
    cactus: Chart | None
    deciders: tuple[DeciderRow, ...]
    failures: tuple[InstanceRow, ...]
    undecided: tuple[InstanceRow, ...]
    undecided_left_out: int
    rows: tuple[InstanceRow, ...]
    left_out: int


def bench_page(
    records: Sequence[Record],
    summaries: Sequence[Summary],
    settings: Settings,
    lists: Sequence[str],
    origin: Origin,
) -> BenchPage:
    """Assemble the page of a benchmark from its records; the last summary is of all families."""
    whole = summaries[-1]
    shown = summaries if len(summaries) > 2 else summaries[:1]
    devices = ", ".join(dict.fromkeys(record.device for record in records)) or "none"
    rows = [instance_row(record) for record in records]
    failures = [row for row in rows if row.wrong or row.verdict == "error"]
    open_ones = [record for record in records if record.verdict in ("unknown", "timed-out")]
    nearest = sorted(open_ones, key=distance_to_proof)
    badge = f"{whole.solved:,} of {whole.instances:,} solved"
    names = [summary.family for summary in summaries if summary.family != ALL]
    question = f"How many instances of {words.listed(names[:4])} are decided?"
    if len(names) > 4:
        question = f"How many instances of {len(names)} families are decided?"
    return BenchPage(
        head=Head(
            title=f"{badge}: {words.listed(names[:4])}",
            word=_word(whole),
            badge=badge,
            question=question,
            sentence=_sentence(whole),
            cards=_cards(whole),
            origin=origin,
            circumstances=circumstances(settings, devices, origin.command),
        ),
        lists=tuple(lists),
        devices=devices,
        families=tuple(family_row(summary) for summary in shown),
        cactus=cactus_chart(records),
        deciders=decider_rows(records),
        failures=tuple(failures),
        undecided=tuple(map(instance_row, nearest[:MOST_UNDECIDED])),
        undecided_left_out=max(0, len(nearest) - MOST_UNDECIDED),
        rows=tuple(rows[:MOST_ROWS]),
        left_out=max(0, len(rows) - MOST_ROWS),
    )


def _word(whole: Summary) -> str:
    if whole.wrong or (whole.run and whole.errors == whole.run):
        return "sat"
    return "unsat" if whole.solved == whole.instances else "mixed"


def _sentence(whole: Summary) -> str:
    told = [f"{whole.unsat:,} are proved, {whole.sat:,} refuted"]
    for count, what in (
        (whole.unknown, "not decided"),
        (whole.timed_out, "out of time"),
        (whole.errors, "failed"),
        (whole.instances - whole.run, "not run yet"),
    ):
        if count:
            told.append(f"{count:,} {what}")
    wrong = f" {counted(whole.wrong, 'verdict')} against what was expected!"
    return f"{words.listed(told)}.{wrong if whole.wrong else ''}"


def _cards(whole: Summary) -> tuple[Card, ...]:
    counts = whole.unsat, whole.sat, whole.unknown, whole.timed_out, whole.errors
    cards = [
        Card(f"{count:,}", name, name)
        for name, count in zip(VERDICTS, counts, strict=True)
        if count or name in VERDICTS[:2]
    ]
    if whole.wrong:
        cards.append(Card(f"{whole.wrong:,}", "wrong verdicts", "error"))
    cards.append(Card(time_label(whole.median), "median of the solved"))
    cards.append(Card(time_label(whole.total), "in all"))
    return tuple(cards)
