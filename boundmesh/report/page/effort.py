"""Shows what a run took: seconds by stage, bounds over time, unstable neurons by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boundmesh.proof.standing import Reached
from boundmesh.report.facts import of_margin
from boundmesh.report.page import words
from boundmesh.report.page.chart import Chart, line, number_label, seconds_label
from boundmesh.report.page.scale import around_zero, linear
from boundmesh.runtime.history import History

COLOURS, GREY = 8, 4
"""The style sheet has so many colours, and this one is grey."""
NARROWEST = 0.4
"""A piece of the strip of stages is at least so many percent wide, so that it can be seen."""
BOUNDING = ("ibp", "crown-ibp", "crown", "alpha-crown", "float64", "branch")


@dataclass(frozen=True)
class StageRow:
    """A stage: its words, its seconds, and their share of the whole in percent."""

    name: str
    seconds: float
    share: float
    colour: int


@dataclass(frozen=True)
class Piece:
    """A piece of the strip of stages, in percent of its length."""

    name: str
    left: float
    width: float
    colour: int


@dataclass(frozen=True)
class LayerRow:
    """A layer: its name, its neurons, and how many were unstable after each method."""

    name: str
    neurons: int
    unstable: tuple[int | None, ...]
    share: float


@dataclass(frozen=True)
class LayerTable:
    """The unstable neurons of all layers; `methods` are the heads of the columns."""

    methods: tuple[str, ...]
    rows: tuple[LayerRow, ...]


def stage_rows(seconds: Mapping[str, float]) -> tuple[StageRow, ...]:
    """Return a row for each stage, in the order in which they began."""
    whole = sum(seconds.values()) or 1.0
    return tuple(
        StageRow(words.stage(name), taken, round(100 * taken / whole, 2), place % COLOURS)
        for place, (name, taken) in enumerate(seconds.items())
    )


def strip(history: History, seconds: Mapping[str, float]) -> tuple[Piece, ...]:
    """Return the stages side by side as they ran, coloured as in `stage_rows`."""
    colour = {name: place % COLOURS for place, name in enumerate(seconds)}
    first = history.spans[0].begun if history.spans else 0.0
    whole = (history.seconds - first) or 1.0
    return tuple(
        Piece(
            words.stage(span.stage),
            round(100 * (span.begun - first) / whole, 3),
            max(NARROWEST, round(100 * (span.ended - span.begun) / whole, 3)),
            colour.get(span.stage, 0),
        )
        for span in history.spans
    )


def bound_chart(history: History, *, proved: bool) -> Chart | None:
    """Draw how the worst margin improved; None where it was not reported at two times.

    `proved` is True where everything was proved in the end.
    """
    margins = [
        (reading.stage, reading.seconds, float(value))
        for reading in history.readings
        if reading.stage in BOUNDING
        and isinstance(value := reading.facts.get("margin"), int | float)
        and math.isfinite(value)
    ]
    if len({seconds for _, seconds, _ in margins}) < 2:
        return None
    stages = list(dict.fromkeys(stage for stage, _, _ in margins))
    begun = min(span.begun for span in history.spans if span.stage in BOUNDING)
    x = linear(begun, max(seconds for _, seconds, _ in margins))
    y = around_zero([value for _, _, value in margins])
    whole = line(
        "", [(seconds, value) for _, seconds, value in margins], x, y, GREY, step=True, dotted=False
    )
    parts = [
        line(
            words.method(name),
            [(seconds, value) for stage, seconds, value in margins if stage == name],
            x,
            y,
            colour,
            step=True,
        )
        for colour, name in enumerate(stages)
    ]
    first, last = margins[0][2], margins[-1][2]
    reading = (
        f"The worst margin began at {of_margin(first)} and was {of_margin(last)} after "
        f"{seconds_label(margins[-1][1])}."
        + (" Then everything was proved." if proved and last <= 0 else "")
    )
    return Chart(
        "The worst margin over time. Above 0, everything is proved.",
        reading,
        "time since the run began",
        "worst margin",
        x.ticks(seconds_label),
        y.ticks(number_label),
        (whole, *parts),
        y.place(0.0),
    )


def domain_chart(history: History) -> Chart | None:
    """Draw how many domains of branch and bound were open; None without a search."""
    open_domains = [
        (reading.seconds, float(value))
        for reading in history.readings
        if reading.stage == "branch" and isinstance(value := reading.facts.get("open"), int)
    ]
    if len(open_domains) < 2:
        return None
    visited = history.series("visited")
    x = linear(open_domains[0][0], open_domains[-1][0])
    y = linear(0.0, max(1.0, *(value for _, value in open_domains)) * 1.05)
    most = max(value for _, value in open_domains)
    return Chart(
        "Open domains of branch and bound over time",
        f"At most {most:,.0f} domains were open at a time; {visited[-1][1]:,.0f} were bounded in "
        f"all, and {open_domains[-1][1]:,.0f} were open at the end.",
        "time since the run began",
        "open domains",
        x.ticks(seconds_label),
        y.ticks(number_label),
        (line("open domains", open_domains, x, y, 0),),
    )


def layer_table(
    reached: Sequence[Reached], unstable: Mapping[str, tuple[int, int]]
) -> LayerTable | None:
    """Return the unstable neurons by layer, after each method; None where none was bounded."""
    if not unstable:
        return None
    stages = list(
        dict.fromkeys(stage_reached.stage for stage_reached in reached if stage_reached.unstable)
    )
    after: dict[str, dict[str, int]] = {stage: {} for stage in stages}
    for stage_reached in reached:
        for name, (some, _) in stage_reached.unstable.items():
            known = after[stage_reached.stage]
            # Several questions about one network: a layer counts where it is worst.
            known[name] = max(known.get(name, 0), some)
    rows = tuple(
        LayerRow(
            name,
            every,
            tuple(after[stage].get(name) for stage in stages) or (some,),
            round(100 * some / max(1, every), 2),
        )
        for name, (some, every) in unstable.items()
    )
    return LayerTable(tuple(map(words.method, stages)) or ("at last",), rows)
