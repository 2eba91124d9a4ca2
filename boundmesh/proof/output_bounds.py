"""Output bounds as numbers, for `boundmesh bounds` and `boundmesh.bounds`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from boundmesh.bounds.methods.crown import errors_on
from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.backward import input_rows
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rounding_errors import lowered
from boundmesh.bounds.sweep.rows import DenseRows, Tile
from boundmesh.errors import BoundmeshError
from boundmesh.graph.forward import multiplications
from boundmesh.mesh.runtime.open import layout_for
from boundmesh.models import load, point_of, region_of, rows_of
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


ELEMENTS = {"cpu": 2**20, "cuda": 2**25}
"""The most numbers in one value of the network, of all regions that are bounded together."""

MOST_TOGETHER = 256
"""The most regions that are bounded together."""

SLOPES = 16
"""By what factor fewer regions are bounded together where every row has slopes of its own."""


@dataclass(frozen=True)
class Affine:
    """S linear functions `coefficients · x + constant` of the flat input x.

    coefficients  `[S, inputs]`, float64
    constant      `[S]`, float64
    """

    coefficients: np.ndarray
    constant: np.ndarray

    def __repr__(self) -> str:
        rows, inputs = self.coefficients.shape
        return f"Affine({rows} functions of {inputs} inputs)"


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
    `rows` is then `[N, S, outputs]`. `method` is ibp, crown-ibp, crown or
    alpha-crown; all but ibp can also give `lines`. The regions must have the input's size. Raises
    BoundmeshError where they do not, or the time is up.
    """
    OneOf([*METHODS]).read("method", method)
    clock = Clock(settings.timeout, progress)
    as_read = load(model, point_of(regions[0]))
    graph = for_bounds(as_read, settings)
    regions = [region_of(region, graph[graph.input].size) for region in regions]
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
    pin_threads(settings, multiplications(graph))
    layout = layout_for(graph, settings)
    device, clock.agree = layout.device, layout.agree
    with clock.stage("check"):
        agrees_with_source(as_read, regions, settings.seed, layout.dtype)
    check_fits(graph, device, settings)
    forget_peak(device)
    matrix = _matrix(rows, graph[graph.output].size, len(regions))
    program, rounding = Program(graph, graph.output), rounding_for(graph, settings, layout)
    parts = []
    try:
        with clock.stage(method), memory_errors(graph, device, settings):
            for chosen in _batches(program, method, device.type, len(regions)):
                mine = matrix if len(matrix) == 1 else matrix[chosen]
                asked = _rows(mine, (*mine.shape[:2], *graph[graph.output].shape), layout)
                problem = Problem(
                    program,
                    region_tensors(regions[chosen], graph[graph.input].shape, layout.dtype, device),
                    layout,
                    settings.bounds.tile_elements,
                    clock.check,
                    rounding,
                )
                parts.append((problem, asked, *_bound(problem, asked, method, settings)))
    except OutOfTime as error:
        raise BoundmeshError(f"{method} was not done within {settings.timeout} s") from error
    effort = method, clock.seconds[method], peak_bytes(device)
    return [each for part in parts for each in _apart(*part, effort, lines)]


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
    found = []
    for place in range(len(lower)):
        known = {name: box.take(slice(place, place + 1)) for name, box in (bounds or {}).items()}
        counts = unstable_counts(known, problem.program)
        found.append(Bounds(lower[place], upper[place], *effort, counts, known))
    if not lines or bounds is None:
        return found
    below, above = (_lines(problem, side, bounds) for side in (rows, rows.negated))
    return [
        replace(each, below=low, above=Affine(-high.coefficients, -high.constant))
        for each, low, high in zip(found, below, above, strict=True)
    ]


def _batches(program: Program, method: str, device: str, count: int) -> Iterator[slice]:
    """Divide regions into those whose bounds fit into memory together."""
    elements = ELEMENTS[device]
    if METHODS[method].sides_apart:
        elements //= SLOPES
    most = max(1, min(MOST_TOGETHER, elements // program.widest(program.target)))
    return (slice(first, first + most) for first in range(0, count, most))


def _matrix(rows: Any, outputs: int, regions: int) -> np.ndarray:
    """Return rows as float64 `[1, S, outputs]`, or `[N, S, outputs]` where each region has its own.

    Raises BoundmeshError for anything else.
    """
    try:
        shape = np.shape(rows.detach().cpu() if isinstance(rows, torch.Tensor) else rows)
    except ValueError:
        # Lists of different lengths have no shape; `rows_of` explains what is expected.
        shape = ()
    if len(shape) != 3 or shape[0] != regions or shape[2] != outputs:
        return rows_of(rows, outputs)[None]
    return np.stack([rows_of(each, outputs) for each in rows])


@torch.no_grad()
def _lines(problem: Problem, rows: DenseRows, bounds: Mapping[str, Interval]) -> list[Affine]:
    """Compute linear functions of x below the rows `[1, S, *output_shape]`, on each region."""
    program, coefficients = problem.program, rows.coefficients
    tile, errors = Tile(program.target, slice(0, rows.count), rows), errors_on(problem, bounds)
    draw = FixedLines(bounds)
    carried = input_rows(problem.layout, program, tile, draw, frozenset(), errors)
    at_input = carried.at_input(program.graph.input, coefficients)
    size, count = program.graph[program.graph.input].size, coefficients.shape[1]
    bias = coefficients.new_zeros(1, count) if carried.bias is None else carried.bias
    regions = problem.region.domains
    constant = lowered(bias, carried.error, errors).expand(regions, count)
    flat = at_input.flatten(2) if at_input.dim() else at_input
    slope = flat.expand(regions, count, size)
    return [
        Affine(one.double().cpu().numpy(), other.double().cpu().numpy())
        for one, other in zip(slope, constant, strict=True)
    ]


def _rows(matrix: np.ndarray, shape: tuple[int, ...], layout: DeviceLayout) -> DenseRows:
    """Convert rows to the layout's dtype, together with how far each is from the given one."""
    exact = torch.from_numpy(np.asarray(matrix, dtype=np.float64))
    near = exact.to(layout.dtype)
    off = (exact - near.double()).abs().to(layout.dtype)
    deviation = off.to(layout.device).reshape(shape) if bool(off.any()) else None
    return DenseRows(near.to(layout.device).reshape(shape), deviation)


def _bound(
    problem: Problem, rows: DenseRows, method: str, settings: Settings
) -> tuple[np.ndarray, np.ndarray, Mapping[str, Interval] | None]:
    """Lower and upper bounds of the rows, float64 `[D, S]`, and those of the start nodes."""
    entry, chosen = METHODS[method], settings.bounds
    options = MethodOptions(chosen.iterations, chosen.learning_rate, chosen.decay)
    if entry.sides_apart:
        below, above = (entry.bound(problem, side, options) for side in (rows, rows.negated))
        sides, intermediate = [below.lower, above.lower], below.bounds
        if intermediate is not None and above.bounds is not None:
            intermediate = _both(intermediate, above.bounds)
    else:
        found = entry.bound(problem, rows.both_sides, options)
        sides, intermediate = [*found.lower.chunk(2, dim=1)], found.bounds
    lower, upper = (side.double().cpu().numpy() for side in sides)
    return lower, -upper, intermediate


def _both(a: Mapping[str, Interval], b: Mapping[str, Interval]) -> dict[str, Interval]:
    return {
        name: Interval(
            torch.maximum(a[name].lower, b[name].lower), torch.minimum(a[name].upper, b[name].upper)
        )
        for name in a
    }


def _ends(region: Box | Ball) -> tuple[np.ndarray, ...]:
    if isinstance(region, Box):
        return region.lower, region.upper
    return region.center, np.asarray(float(region.radius))
