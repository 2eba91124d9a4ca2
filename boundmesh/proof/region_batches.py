"""Divides regions into batches, and bounds the rows of one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.operators.interval import Interval
from boundmesh.settings import Settings

ELEMENTS = {"cpu": 2**20, "cuda": 2**25}
"""The most numbers in one value of the network, of all regions that are bounded together."""

MOST_TOGETHER = 256
"""The most regions that are bounded together."""

SLOPES = 16
"""By what factor fewer regions are bounded together where every row has slopes of its own."""


def batches(program: Program, method: str, device: str, count: int) -> Iterator[slice]:
    """Divide regions into those whose bounds fit into memory together."""
    elements = ELEMENTS[device]
    if METHODS[method].sides_apart:
        elements //= SLOPES
    most = max(1, min(MOST_TOGETHER, elements // program.widest(program.target)))
    return (slice(first, first + most) for first in range(0, count, most))


def both_bounds(
    problem: Problem, rows: DenseRows, method: str, settings: Settings
) -> tuple[np.ndarray, np.ndarray, Mapping[str, Interval] | None]:
    """Return lower and upper bounds of rows, float64 `[D, S]`, and those of the start nodes."""
    entry, chosen = METHODS[method], settings.bounds
    options = MethodOptions(chosen.iterations, chosen.learning_rate, chosen.decay)
    if entry.sides_apart:
        below, above = (entry.bound(problem, side, options) for side in (rows, rows.negated))
        sides, intermediate = [below.lower, above.lower], below.bounds
        if intermediate is not None and above.bounds is not None:
            others = above.bounds
            intermediate = {name: box.intersect(others[name]) for name, box in intermediate.items()}
    else:
        bounded = entry.bound(problem, rows.both_sides, options)
        sides, intermediate = [*bounded.lower.chunk(2, dim=1)], bounded.bounds
    lower, upper = (side.double().cpu().numpy() for side in sides)
    return lower, -upper, intermediate
