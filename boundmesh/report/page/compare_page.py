"""The page that compares two results of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boundmesh.graph.graph import counted
from boundmesh.report.bench_console import short
from boundmesh.report.cactus import SHORTEST
from boundmesh.report.page import words
from boundmesh.report.page.chart import Chart, ChartCurve, dots, line, seconds_label
from boundmesh.report.page.circumstances import Origin, circumstances
from boundmesh.report.page.effort import GREY
from boundmesh.report.page.parts import Card, Head
from boundmesh.report.page.scale import logarithmic
from boundmesh.report.records import SOLVED, Record
from boundmesh.report.summary import Change, Pace
from boundmesh.settings import Settings

MOST_ROWS = 1000
"""The most instances in a table."""


@dataclass(frozen=True)
class PairRow:
    """An instance in both results, ready to be shown; `ratio` is empty where a time is zero."""

    family: str
    network: str
    property: str
    old: str
    new: str
    old_seconds: str
    new_seconds: str
    ratio: str
    wrong: bool


@dataclass(frozen=True)
class ComparePage:
    """The texts, figures and charts that the template `compare.html` shows."""

    head: Head
    files: tuple[tuple[str, str], ...]
    devices: str
    changes: tuple[PairRow, ...]
    scatter: Chart | None
    pairs: tuple[PairRow, ...]
    left_out: int


def compare_page(
    files: tuple[str, str],
    old: Sequence[Record],
    new: Sequence[Record],
    changes: Sequence[Change],
    pace: Pace,
    origin: Origin,
) -> ComparePage:
    """Assemble the page; `changes` and `pace` are what `summary.compare` returns."""
    after = {record.key: record for record in new}
    common = [(was, after[was.key]) for was in old if was.key in after]
    both = [(a, b) for a, b in common if a.verdict == b.verdict and a.verdict in SOLVED]
    slower = sorted(both, key=lambda pair: -pair[1].seconds / max(pair[0].seconds, SHORTEST))
    devices = ", ".join(dict.fromkeys(r.device for r in (*old, *new) if r.device)) or "not known"
    contradicted = sum(change.contradiction for change in changes)
    badge = f"{counted(len(changes), 'verdict')} of {len(common):,} differ"
    return ComparePage(
        head=Head(
            title=f"{badge}: {short_name(files[0])} and {short_name(files[1])}",
            word="sat" if contradicted else ("mixed" if changes else "unsat"),
            badge=badge,
            question=f"What differs between {short_name(files[0])} and {short_name(files[1])}?",
            sentence=_sentence(pace, contradicted, len(old) - len(common), len(new) - len(common)),
            cards=_cards(old, new, pace, contradicted),
            origin=origin,
            circumstances=circumstances(Settings(), devices, origin.command),
        ),
        files=(("Old result", files[0]), ("New result", files[1])),
        devices=devices,
        changes=tuple(_row(change.old, change.new) for change in changes),
        scatter=scatter(both),
        pairs=tuple(_row(*pair) for pair in slower[:MOST_ROWS]),
        left_out=max(0, len(both) - MOST_ROWS),
    )


def scatter(pairs: Sequence[tuple[Record, Record]]) -> Chart | None:
    """Draw the new seconds of each instance over the old ones, and the line of equal times."""
    points = [tuple(max(run.seconds, SHORTEST) for run in pair) for pair in pairs]
    if not points:
        return None
    all_seconds = [value for point in points for value in point]
    scale = logarithmic(min(all_seconds), max(all_seconds))
    slower = sum(b > a for a, b in points)
    curves: list[ChartCurve] = [
        line("equal times", [(scale.low, scale.low), (scale.high, scale.high)], scale, scale, GREY,
             dotted=False),
        dots("an instance", [(a, b) for a, b in points], scale, scale, 0),
    ]  # fmt: skip
    return Chart(
        "How long each instance took, among those that both results solved alike",
        f"{slower:,} of {len(points):,} instances lie above the line: they took longer in the new "
        "result.",
        "seconds in the old result",
        "seconds in the new result",
        scale.ticks(seconds_label),
        scale.ticks(seconds_label),
        tuple(curves),
    )


def short_name(file: str) -> str:
    """Return a file's name without its folders."""
    return file.replace("\\", "/").rpartition("/")[2]


def _sentence(pace: Pace, contradicted: int, gone: int, added: int) -> str:
    told = [f"{counted(pace.both, 'instance')} were solved alike both times"]
    if gone:
        told.append(f"{counted(gone, 'instance')} are in the old result only")
    if added:
        told.append(f"{counted(added, 'instance')} are in the new result only")
    text = f"{words.listed(told)}."
    if pace.ratio is not None:
        text += f" They took {_times(pace.ratio)} as long each (geometric mean)."
    if contradicted:
        text += f" {counted(contradicted, 'verdict')} contradict each other!"
    return text


def _cards(
    old: Sequence[Record], new: Sequence[Record], pace: Pace, contradicted: int
) -> tuple[Card, ...]:
    solved = [sum(record.solved for record in run) for run in (old, new)]
    cards = [
        Card(f"{solved[0]:,} → {solved[1]:,}", "solved"),
        Card(f"{seconds_label(round(pace.old, 3))} → {seconds_label(round(pace.new, 3))}",
             "in all, of those solved alike"),
    ]  # fmt: skip
    if pace.ratio is not None:
        cards.append(Card(_times(pace.ratio), "the time of each"))
    if contradicted:
        cards.append(Card(f"{contradicted:,}", "contradictions", "error"))
    return tuple(cards)


def _row(old: Record, new: Record) -> PairRow:
    before, after = (seconds_label(round(run.seconds, 3)) for run in (old, new))
    ratio = _times(new.seconds / old.seconds) if old.seconds > 0 and new.seconds > 0 else ""
    wrong = {old.verdict, new.verdict} == set(SOLVED)
    network, prop = short(old.onnx), short(old.vnnlib)
    return PairRow(old.family, network, prop, old.verdict, new.verdict, before, after, ratio, wrong)


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times"
