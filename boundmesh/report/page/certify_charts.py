"""Charts of a certification: radii, margins, and how many inputs are decided over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from boundmesh.certify.account import MISCLASSIFIED
from boundmesh.certify.result import Certification
from boundmesh.report.facts import of_margin
from boundmesh.report.page.chart import Chart, line, number_label, seconds_label
from boundmesh.report.page.scale import around_zero, linear

PROVED, AT_MOST, DECIDED = 2, 7, 0
"""The numbers of the colours."""


def radius_chart(result: Certification) -> Chart | None:
    """Draw the share of inputs that keep their label at each radius; None without `largest`."""
    if not result.largest:
        return None
    most = float(result.eps)
    x, y = linear(0.0, most), linear(0.0, 100.0)
    # Radius 0 does not count where the input itself has another class.
    certified = np.where(result.verdicts == MISCLASSIFIED, -1.0, result.certified_eps)
    sure = _share_above(certified, most, touching=True)
    possible = _share_above(result.falsified_eps, most, touching=False)
    half = float(np.quantile(result.certified_eps, 0.5, method="lower"))
    return Chart(
        "The share of inputs that keep their label, by the radius of changes",
        f"Half of the inputs are certified up to a radius of at least {max(half, 0):.4g}.",
        "radius of changes",
        "inputs, percent",
        x.ticks(number_label),
        y.ticks(number_label),
        (
            line("certified", sure, x, y, PROVED, step=True, dotted=False),
            line("no counterexample known", possible, x, y, AT_MOST, step=True, dotted=False),
        ),
    )


def decided_chart(result: Certification) -> Chart | None:
    """Draw how many inputs are decided and certified over time."""
    series = {name: result.history.series(name) for name in ("decided", "certified")}
    decided, ended = series["decided"], result.history.seconds
    if len(decided) < 2:
        return None
    x, y = linear(decided[0][0], ended), linear(0.0, float(len(result)))
    half = next((seconds for seconds, count in decided if 2 * count >= len(result)), None)
    reading = f"{decided[-1][1]:,.0f} of {len(result):,} were decided in the end"
    if half is not None:
        reading += f", and half of all after {seconds_label(round(half, 3))}"
    return Chart(
        "Inputs decided over time",
        f"{reading}.",
        "time since the run began",
        "inputs",
        x.ticks(seconds_label),
        y.ticks(number_label),
        tuple(
            line(name, [*points, (ended, points[-1][1])], x, y, colour, step=True, dotted=False)
            for (name, points), colour in zip(series.items(), (DECIDED, PROVED), strict=True)
            if points
        ),
    )


def margin_chart(result: Certification) -> Chart | None:
    """Draw the smallest margin of every input in ascending order."""
    margins = sorted(certified.margin for certified in result if math.isfinite(certified.margin))
    if len(margins) < 2:
        return None
    x, y = linear(1.0, float(len(margins))), around_zero(margins)
    points = [(float(place), value) for place, value in enumerate(margins, start=1)]
    return Chart(
        "The smallest margin of each input, in ascending order. Above 0, the input is certified.",
        f"The margins reach from {of_margin(margins[0])} to {of_margin(margins[-1])}; "
        f"{sum(value > 0 for value in margins):,} of {len(margins):,} are above 0.",
        "inputs with a bound",
        "smallest margin",
        x.ticks(number_label),
        y.ticks(number_label),
        (line("smallest margin", points, x, y, DECIDED),),
        y.place(0.0),
    )


def _share_above(
    radii: np.ndarray, most: float, *, touching: bool
) -> Sequence[tuple[float, float]]:
    """Return the share of inputs, in percent, whose radius is at least x, as steps in x."""
    ends = [0.0, *sorted({float(radius) for radius in radii if 0 <= radius <= most}), most]
    compare = np.greater_equal if touching else np.greater
    return [
        (end, 100 * float(compare(radii, ends[min(place + touching, len(ends) - 1)]).mean()))
        for place, end in enumerate(ends)
    ]
