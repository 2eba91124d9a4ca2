"""The memory of each stage: what was measured while it ran, and the terms of each bound method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from boundmesh.errors import BoundmeshError
from boundmesh.plan.asked import machine_named, planned_method
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.plan import Prediction
from boundmesh.plan.terms import Term
from boundmesh.report.facts import of_bytes
from boundmesh.report.page import words
from boundmesh.result import Result
from boundmesh.runtime.history import History
from boundmesh.settings import OutputMethod

COLOURS = {
    Term.WEIGHTS: 4, Term.FETCHED: 6, Term.REGION: 4, Term.BOUNDS: 5, Term.LINES: 2, Term.ROWS: 0,
    Term.SLOPES: 1, Term.GRADIENTS: 3, Term.TILE_GRADIENTS: 3, Term.WORKSPACE: 7, Term.OTHER: 7,
}  # fmt: skip
"""The number of the colour of each term."""

SHOWN = 0.005
"""A term is drawn if it is so large a part of the largest peak."""


@dataclass(frozen=True)
class StagePeak:
    """The most memory that was measured while a stage ran, and how much more than at the start."""

    name: str
    most: str
    more: str


@dataclass(frozen=True)
class BarPart:
    """A part of a bar: its colour, its share of the largest peak in percent, and its words."""

    colour: int
    share: float
    name: str


@dataclass(frozen=True)
class MethodPeak:
    """The peak of one bound method, divided into terms."""

    name: str
    peak: str
    parts: tuple[BarPart, ...]


@dataclass(frozen=True)
class StageMemory:
    """The rows of both tables, and the terms of the legend with their colours."""

    stages: tuple[StagePeak, ...]
    methods: tuple[MethodPeak, ...] = ()
    legend: tuple[tuple[str, int], ...] = ()


def stage_peaks(history: History) -> tuple[StagePeak, ...]:
    """Return the most memory of each stage in which it was measured, in the stages' order.

    Where the peak so far rose during a stage, it was reached there.
    """
    most: dict[str, int] = {}
    first, last = None, 0
    for reading in history.readings:
        if reading.memory is None:
            continue
        first = reading.memory.now if first is None else first
        rose = reading.memory.peak if reading.memory.peak > last > 0 else 0
        last = max(last, reading.memory.peak)
        most[reading.stage] = max(most.get(reading.stage, 0), reading.memory.now, rose)
    return tuple(
        StagePeak(words.stage(name), of_bytes(size), of_bytes(max(0, size - (first or 0))))
        for name, size in most.items()
        if name
    )


def stage_memory(result: Result) -> StageMemory:
    """Return the memory of the stages of a result, and the terms of the methods that ran."""
    stages = stage_peaks(result.history)
    lines = dict(_lines(result))
    largest = max((line.peak for line in lines.values()), default=0.0)
    if not largest:
        return StageMemory(stages)
    methods = tuple(
        MethodPeak(words.stage(name), of_bytes(line.peak), _parts(line.terms, largest))
        for name, line in lines.items()
    )
    drawn = {part.name.partition(": ")[0]: part.colour for m in methods for part in m.parts}
    return StageMemory(stages, methods, tuple(drawn.items()))


def _lines(result: Result) -> list[tuple[str, Prediction]]:
    """Count the tensors of every bound method that ran, from shapes and unstable neurons alone."""
    predictions: dict[str, Prediction] = {}
    machine = machine_named("cuda" if result.device.startswith("cuda") else "cpu")
    first: Mapping[str, float] = {}
    for reached in result.reached:
        shares = {name: some / max(1, every) for name, (some, every) in reached.unstable.items()}
        first = first or shares
        if (
            reached.stage not in get_args(OutputMethod)
            or not shares
            or reached.stage in predictions
        ):
            continue
        unstable = Unstable(1.0, first, shares, "counted in the run")
        try:
            line = planned_method(
                result.graph, result.property, reached.stage, unstable, machine, result.settings
            )
        except BoundmeshError:
            # A page is also written where a network or property cannot be planned.
            return []
        predictions[reached.stage] = line
    return list(predictions.items())


def _parts(terms: Mapping[Term, float], largest: float) -> tuple[BarPart, ...]:
    return tuple(
        BarPart(COLOURS[term], round(100 * size / largest, 2), f"{_name(term)}: {of_bytes(size)}")
        for term, size in sorted(terms.items(), key=lambda item: -item[1])
        if size >= SHOWN * largest
    )


def _name(term: Term) -> str:
    """Return the name of a term of memory in common words, without the word rank."""
    return term.value.removesuffix(" held by the rank")
