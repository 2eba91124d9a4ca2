"""The chart of a page of a benchmark: instances solved within a time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from boundmesh.report.cactus import SHORTEST, curves
from boundmesh.report.page.chart import Chart, ChartCurve, line, number_label, seconds_label
from boundmesh.report.page.effort import COLOURS, GREY
from boundmesh.report.page.scale import linear, logarithmic
from boundmesh.report.records import Record
from boundmesh.report.summary import ALL


def cactus_chart(records: Sequence[Record]) -> Chart | None:
    """Draw how many instances are solved within how many seconds each, by family."""
    seconds_by_family = curves(records)
    all_seconds = [
        max(value, SHORTEST) for seconds in seconds_by_family.values() for value in seconds
    ]
    if not all_seconds:
        return None
    most = max(map(len, seconds_by_family.values()))
    x, y = linear(0.0, float(most)), logarithmic(min(all_seconds), max(all_seconds))
    drawn: list[ChartCurve] = []
    for place, (family, seconds) in enumerate(seconds_by_family.items()):
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
