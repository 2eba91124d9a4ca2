"""Bounds the outputs of a network, for `boundmesh bounds` and `boundmesh.bounds`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.errors import BoundmeshError
from boundmesh.graph.forward import multiplications
from boundmesh.mesh.runtime.open import layout_for
from boundmesh.models import load, point_of, region_of
from boundmesh.operators.interval import Interval
from boundmesh.proof.guarantee import for_bounds, rounding_for
from boundmesh.proof.memory import check_fits, memory_errors
from boundmesh.proof.standing import unstable_counts
from boundmesh.property import Ball, Box
from boundmesh.ranges import OneOf
from boundmesh.read.agreement import agrees_with_source
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.runtime.device import forget_peak, peak_bytes, pin_threads
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.models import Model
from boundmesh.proof.output_lines import Affine, lines_below
from boundmesh.proof.output_rows import dense_rows, matrix_of
from boundmesh.proof.region_batches import batches, both_bounds


@dataclass(frozen=True)
class Bounds:
    """Bounds of S rows: `lower ≤ rows · f(x) ≤ upper` for every x of the region.

    Without rows of the user's own, each output is a row.

    lower         `[S]`, float64
    upper         `[S]`, float64
    method        the bound method
    seconds       the seconds that the method took
    peak_bytes    the peak of memory on the device, in bytes
    unstable      for every start node, how many neurons are unstable, and how many it has
    intermediate  the bounds of every start node
    below         S linear functions of x that lie below `rows · f(x)` on the region, by CROWN with
                  the bounds `intermediate`; None unless `lines` was set
    above         the same, above `rows · f(x)`
    """

    lower: np.ndarray
    upper: np.ndarray
    method: str
    seconds: float
    peak_bytes: int
    unstable: Mapping[str, tuple[int, int]]
    intermediate: Mapping[str, Interval]
    below: Affine | None = None
    above: Affine | None = None

    def __repr__(self) -> str:
        low, high = self.lower.min(initial=np.inf), self.upper.max(initial=-np.inf)
        reach = f"from {low:.6g} to {high:.6g}"
        return f"Bounds({len(self.lower)} rows by {self.method}, {reach}; {self.seconds:.3g} s)"

    @property
    def undecided(self) -> Mapping[str, tuple[int, int]]:
        """The name that `unstable` had before version 0.2."""
        return self.unstable


def bounds(
    model: Model,
    regions: Sequence[Box | Ball],
    *,
    method: str = "alpha-crown",
    rows: Any = None,
    lines: bool = False,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
) -> list[Bounds]:
    """Bound the outputs of a network, or linear functions `rows` `[S, outputs]` of them.

    Regions are bounded together, in batches, and each gets a result. Each may have rows of its own:
    `rows` is then `[N, S, outputs]`. `method` is ibp, crown-ibp, crown or alpha-crown; all but ibp
    can also give `lines`. The regions must have the input's size. Raises BoundmeshError where they
    do not, or the time is up.
    """
    OneOf([*METHODS]).read("method", method)
    clock = Clock(settings.timeout, progress)
    as_read = load(model, point_of(regions[0]))
    graph = for_bounds(as_read, settings)
    regions = [region_of(region, graph[graph.input].size) for region in regions]
    _check_together(regions, settings)
    pin_threads(settings, multiplications(graph))
    layout = layout_for(graph, settings)
    device, clock.agree = layout.device, layout.agree
    with clock.stage("check"):
        agrees_with_source(as_read, regions, settings.seed, layout.dtype)
    check_fits(graph, device, settings)
    forget_peak(device)
    matrix = matrix_of(rows, graph[graph.output].size, len(regions))
    program, rounding = Program(graph, graph.output), rounding_for(graph, settings, layout)

    def problem_of(chosen: slice) -> Problem:
        shape, tile_elements = graph[graph.input].shape, settings.bounds.tile_elements
        region = region_tensors(regions[chosen], shape, layout.dtype, device)
        return Problem(program, region, layout, tile_elements, clock.check, rounding)

    parts = []
    try:
        with clock.stage(method), memory_errors(graph, device, settings):
            for chosen in batches(program, method, device.type, len(regions)):
                chosen_rows = matrix if len(matrix) == 1 else matrix[chosen]
                shape = (*chosen_rows.shape[:2], *graph[graph.output].shape)
                asked, problem = dense_rows(chosen_rows, shape, layout), problem_of(chosen)
                parts.append((problem, asked, *both_bounds(problem, asked, method, settings)))
    except OutOfTime as error:
        raise BoundmeshError(f"{method} was not done within {settings.timeout} s") from error
    effort = method, clock.seconds[method], peak_bytes(device)
    return [result for part in parts for result in _apart(*part, effort, lines)]


def _check_together(regions: Sequence[Box | Ball], settings: Settings) -> None:
    """Raise BoundmeshError where these regions cannot be bounded together."""
    if not all(np.isfinite(end).all() for region in regions for end in _ends(region)):
        raise BoundmeshError("the region has an end that is NaN or infinite")
    if len({region.p if isinstance(region, Ball) else np.inf for region in regions}) > 1:
        raise BoundmeshError(
            "regions that are bounded together must all be boxes or balls of one p"
        )
    if settings.layout.domains > 1:
        raise BoundmeshError(
            f"the mesh {settings.layout.shape} has several groups of domains, and bounds alone "
            "have none to divide; use shards"
        )


def _apart(
    problem: Problem,
    rows: DenseRows,
    lower: np.ndarray,
    upper: np.ndarray,
    bounds: Mapping[str, Interval] | None,
    effort: tuple[str, float, int],
    lines: bool,
) -> list[Bounds]:
    """Return the results of the regions of a problem, one by one."""
    results = []
    for index in range(len(lower)):
        known = {name: box.take(slice(index, index + 1)) for name, box in (bounds or {}).items()}
        counts = unstable_counts(known, problem.program)
        results.append(Bounds(lower[index], upper[index], *effort, counts, known))
    if not lines or bounds is None:
        return results
    below, above = (lines_below(problem, side, bounds) for side in (rows, rows.negated))
    return [
        replace(result, below=low, above=Affine(-high.coefficients, -high.constant))
        for result, low, high in zip(results, below, above, strict=True)
    ]


def _ends(region: Box | Ball) -> tuple[np.ndarray, ...]:
    if isinstance(region, Box):
        return region.lower, region.upper
    return region.center, np.asarray(float(region.radius))
