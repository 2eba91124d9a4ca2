"""The page of a benchmark: how many instances were solved, how fast, and which failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from boundmesh.graph.graph import counted
from boundmesh.report.bench_console import short
from boundmesh.report.cactus import SHORTEST, curves
from boundmesh.report.facts import of_margin
from boundmesh.report.page import words
from boundmesh.report.page.chart import Chart, Curve, line, number_label, seconds_label
from boundmesh.report.page.circumstances import Origin, circumstances
from boundmesh.report.page.effort import COLOURS, GREY
from boundmesh.report.page.parts import Card, Head
from boundmesh.report.page.scale import linear, logarithmic
from boundmesh.report.records import VERDICTS, Record
from boundmesh.report.summary import ALL, Summary
from boundmesh.settings import Settings

MOST_ROWS, MOST_UNDECIDED = 3000, 20


@dataclass(frozen=True)
class FamilyRow:
    """The numbers of one family, ready to be shown."""

    summary: Summary
    median: str
    mean: str
    total: str
    whole: bool


@dataclass(frozen=True)
class DeciderRow:
    """A stage: how many instances it decided, and how long these took, reading included."""

    stage: str
    solved: int
    median: str
    total: str
    share: float


@dataclass(frozen=True)
class InstanceRow:
    """A line of the table of instances."""

    family: str
    network: str
    property: str
    verdict: str
    style: str
    expected: str
    wrong: bool
    seconds: float
    stage: str
    margin: str
    memory: str
    reason: str


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
    rows = [_row(record) for record in records]
    failures = [row for row in rows if row.wrong or row.verdict == "error"]
    open_ones = [record for record in records if record.verdict in ("unknown", "timed-out")]
    nearest = sorted(open_ones, key=_far)
    badge = f"{whole.solved:,} of {whole.instances:,} solved"
    names = [each.family for each in summaries if each.family != ALL]
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
        families=tuple(_family(each) for each in shown),
        cactus=cactus_chart(records),
        deciders=_deciders(records),
        failures=tuple(failures),
        undecided=tuple(map(_row, nearest[:MOST_UNDECIDED])),
        undecided_left_out=max(0, len(nearest) - MOST_UNDECIDED),
        rows=tuple(rows[:MOST_ROWS]),
        left_out=max(0, len(rows) - MOST_ROWS),
    )


def cactus_chart(records: Sequence[Record]) -> Chart | None:
    """Draw how many instances are solved within how many seconds each, by family."""
    found = curves(records)
    every = [max(value, SHORTEST) for seconds in found.values() for value in seconds]
    if not every:
        return None
    most = max(map(len, found.values()))
    x, y = linear(0.0, float(most)), logarithmic(min(every), max(every))
    drawn: list[Curve] = []
    for place, (family, seconds) in enumerate(found.items()):
        points = [(float(n), max(value, SHORTEST)) for n, value in enumerate(seconds, start=1)]
        colour = GREY if family == ALL else _colour(place)
        drawn.append(line(f"{family} ({len(seconds)})", points, x, y, colour))
    solved = sum(record.solved for record in records)
    half = median(record.seconds for record in records if record.solved)
    return Chart(
        "How many instances are solved within which time each",
        f"{solved:,} instances are solved, half of them within {seconds_label(half)} each.",
        "instances solved",
        "seconds for each",
        x.ticks(number_label),
        y.ticks(seconds_label),
        tuple(drawn),
    )


def _colour(place: int) -> int:
    """Return a colour for a family; grey belongs to all families together."""
    others = [colour for colour in range(COLOURS) if colour != GREY]
    return others[place % len(others)]


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
    cards.append(Card(_time(whole.median), "median of the solved"))
    cards.append(Card(_time(whole.total), "in all"))
    return tuple(cards)


def _family(summary: Summary) -> FamilyRow:
    middle, mean, total = map(_time, (summary.median, summary.mean, summary.total))
    return FamilyRow(summary, middle, mean, total, summary.family == ALL)


def _deciders(records: Sequence[Record]) -> tuple[DeciderRow, ...]:
    by_stage: dict[str, list[float]] = {}
    for record in records:
        if record.solved:
            by_stage.setdefault(record.stage, []).append(record.seconds)
    whole = sum(map(sum, by_stage.values())) or 1.0
    return tuple(
        DeciderRow(
            words.stage(stage),
            len(seconds),
            _time(median(seconds)),
            _time(sum(seconds)),
            round(100 * sum(seconds) / whole, 2),
        )
        for stage, seconds in sorted(by_stage.items(), key=lambda item: -len(item[1]))
    )


def _row(record: Record) -> InstanceRow:
    return InstanceRow(
        record.family,
        short(record.onnx),
        short(record.vnnlib),
        record.verdict,
        record.verdict,
        record.expected,
        record.wrong,
        record.seconds,
        record.stage,
        "" if record.bound is None else of_margin(record.bound),
        f"{record.peak_mib:,.0f}",
        record.reason,
    )


def _far(record: Record) -> float:
    """Return how far a record is from a proof."""
    return math.inf if record.bound is None else -record.bound


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else seconds_label(round(seconds, 3))
