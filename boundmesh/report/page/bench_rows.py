"""The tables of a page of a benchmark: families, deciding stages, instances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from boundmesh.report.bench_console import short
from boundmesh.report.facts import of_margin
from boundmesh.report.page import words
from boundmesh.report.page.chart import seconds_label
from boundmesh.report.records import Record
from boundmesh.report.summary import ALL, Summary


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


def family_row(summary: Summary) -> FamilyRow:
    """Write the numbers of a family as text."""
    middle, mean, total = map(time_label, (summary.median, summary.mean, summary.total))
    return FamilyRow(summary, middle, mean, total, summary.family == ALL)


def decider_rows(records: Sequence[Record]) -> tuple[DeciderRow, ...]:
    """Count the solved instances of each stage that decides, the most frequent first."""
    by_stage: dict[str, list[float]] = {}
    for record in records:
        if record.solved:
            by_stage.setdefault(record.stage, []).append(record.seconds)
    whole = sum(map(sum, by_stage.values())) or 1.0
    return tuple(
        DeciderRow(
            words.stage(stage),
            len(seconds),
            time_label(median(seconds)),
            time_label(sum(seconds)),
            round(100 * sum(seconds) / whole, 2),
        )
        for stage, seconds in sorted(by_stage.items(), key=lambda item: -len(item[1]))
    )


def instance_row(record: Record) -> InstanceRow:
    """Write a record as text."""
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


def distance_to_proof(record: Record) -> float:
    """Return how far a record is from a proof."""
    return math.inf if record.bound is None else -record.bound


def time_label(seconds: float | None) -> str:
    """Write seconds to the millisecond, or a dash where there are none."""
    return "–" if seconds is None else seconds_label(round(seconds, 3))
