"""CROWN: bounds with fixed lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.ahead import NOTHING, Ahead, recorded_ahead
from boundmesh.bounds.methods.ibp import no_looser
from boundmesh.bounds.methods.method import BoundMethod, MethodOptions, RowBounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.backward import in_waves, sweep
from boundmesh.bounds.sweep.intervals import Intervals
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.repeats import Repeats, repeats_of
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import DenseRows, Rows, both_sides, ends, side_by_side
from boundmesh.kernels.once import keeping
from boundmesh.operators.interval import Interval

MOST_HELD = 2
"""A sweep may hold weights whole that have so many times the numbers of a tile's coefficients."""


def bound_rows(
    problem: Problem,
    start: str,
    rows: Rows,
    draw: FixedLines,
    errors: Errors | None,
    ahead: Ahead = NOTHING,
) -> Tensor:
    """Compute lower bounds `[D, S]` of all rows of a start node, tile by tile.

    `ahead` holds recordings that were made before.
    """
    tiles = problem.tiles(start, rows)
    layout = problem.layout.for_tiles(tiles, problem.region.domains)
    waves = in_waves(layout.deal(tiles), layout.wave, draw)
    order = problem.program.order(start)
    passed = problem.forms(tiles[0])
    # Parts of tiles in windows would fetch a weight that lies in shards once for each part.
    most = MOST_HELD * problem.tile_elements if tiles[0].windowed else 0
    with layout.holding(order, most) as fetched:
        repeats: Repeats = {}
        tables = {**draw.tables} if fetched else draw.tables
        holds = layout.holds(order)
        if holds:
            known = draw.known(passed) - fetched
            own = repeats_of(order, tiles, layout.device, layout.dealers, known)
            repeats = ahead.instead_of(own, tiles[0])
        with keeping(tables if holds else None):
            lowest = sweep(
                layout, problem.program, problem.region, waves, problem.check, errors, repeats
            )
    if any(tile.rows.count for wave in waves for tile in wave.tiles):
        draw.passed |= passed
    results = layout.join(lowest, [tile.rows.count for tile in tiles])
    return side_by_side(results, [tile.span for tile in tiles])


@dataclass(frozen=True)
class Intermediate:
    """Bounds of every start node, in topological order.

    bounds    the method's bounds, by name: of a neuron that got rows, the bounds of these rows,
              which can be looser than its interval
    sharpest  the intersection of `bounds` with the intervals, by name
    errors    the rounding errors of rows at every node (None: rounding is not counted)
    """

    bounds: dict[str, Interval]
    sharpest: dict[str, Interval]
    errors: Errors | None


@torch.no_grad()
def intermediate_bounds(
    problem: Problem, *, by_rows: bool, keep_best: bool = False
) -> Intermediate:
    """Compute bounds of the start nodes.

    By default these are intervals, as in CROWN-IBP. If `by_rows` is true, they are CROWN's: every
    neuron that is unstable under its interval gets two rows. If `keep_best` is true, later nodes
    use the intersection of rows and intervals, which is sharper than CROWN as it is defined. In a
    network with curves they always do, because rows alone can leave the domain of a reciprocal, a
    root or a logarithm.
    """
    program = problem.program
    intervals = Intervals(program, problem.layout, problem.region, program.starts, problem.rounding)
    errors = intervals.errors
    found = Intermediate({}, {}, errors)
    # A relaxation is computed when a sweep first passes its node. The bounds of the node's inputs
    # are final by then.
    draw = problem.fixed_lines(found.bounds)
    done = 0
    for start in program.starts:
        place = program.nodes.index(program.graph[start]) + 1
        intervals.advance(program.nodes[done:place])
        done = place
        box = sharpest = intervals.known[start]
        if by_rows and not _exact(problem, start):
            unstable = program.unstable(start, {**found.bounds, start: box})
            ahead = recorded_ahead(problem, start, draw, errors)
            index = problem.layout.on_any_rank(unstable.any(0)).nonzero().squeeze(1)
            if len(index):
                rows = both_sides(index, box.lower.dtype)
                lowest = bound_rows(problem, start, rows, draw, errors, ahead)
                bounded = replace_at(box, index, *_where(unstable, box, index, *ends(lowest)))
                sharpest = sharper(box, bounded)
                box = sharpest if keep_best or program.has_curves else bounded
                intervals.sharpen(start, box)
        found.bounds[start], found.sharpest[start] = box, sharpest
    if errors is not None:
        intervals.advance(program.nodes[done:])
    return found


@torch.no_grad()
def errors_on(problem: Problem, bounds: Mapping[str, Interval]) -> Errors | None:
    """Compute the rounding errors of rows, given bounds of the start nodes."""
    if problem.rounding is None:
        return None
    program, done = problem.program, 0
    intervals = Intervals(program, problem.layout, problem.region, (), problem.rounding)
    for start in program.starts:
        place = program.nodes.index(program.graph[start]) + 1
        intervals.advance(program.nodes[done:place])
        done = place
        if start in bounds:
            intervals.sharpen(start, sharper(intervals.known[start], bounds[start]))
    intervals.advance(program.nodes[done:])
    return intervals.errors


def intersect(box: Interval, index: Tensor, lower: Tensor, upper: Tensor) -> Interval:
    """Intersect `box` with bounds `[D, n]` of its flat neurons `index` `[n]`."""
    return sharper(box, replace_at(box, index, lower, upper))


def sharper(one: Interval, other: Interval) -> Interval:
    """Intersect a box with another; an end of NaN in `other` leaves the end of `one` as it is."""
    return Interval(
        better(one.lower, other.lower, torch.maximum), better(one.upper, other.upper, torch.minimum)
    )


def better(known: Tensor, found: Tensor, best: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return `best(known, found)`, and `known` where `found` is NaN.

    A bound of NaN proves nothing. A bound that is already known stays NaN if it is NaN.
    """
    return best(known, torch.where(found.isnan(), known, found))


def replace_at(box: Interval, index: Tensor, lower: Tensor, upper: Tensor) -> Interval:
    """Replace the bounds of the flat neurons `index` `[n]` of `box` by bounds `[D, n]`."""
    return Interval(
        box.lower.flatten(1).index_copy(1, index, lower).reshape(box.lower.shape),
        box.upper.flatten(1).index_copy(1, index, upper).reshape(box.upper.shape),
    )


def _where(
    unstable: Tensor, box: Interval, index: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Return bounds `[D, n]` of rows for the neurons that are unstable in a domain, else intervals.

    So the bounds of a domain do not depend on which neurons are unstable in others.
    """
    if len(unstable) == 1:
        return lower, upper
    mine = unstable.index_select(1, index)
    old = (end.flatten(1).index_select(1, index) for end in (box.lower, box.upper))
    kept = (torch.where(mine, new, end) for new, end in zip((lower, upper), old, strict=True))
    below, above = kept
    return below, above


def unstable_neurons(program: Program, start: str, bounds: Mapping[str, Interval]) -> Tensor:
    """Return the flat indices of the neurons of `start` that are unstable in some domain."""
    return program.unstable(start, bounds).any(0).nonzero().squeeze(1)


def _exact(problem: Problem, start: str) -> bool:
    return isinstance(problem.region, BoxRegion) and start in problem.program.exact


@torch.no_grad()
def crown(
    problem: Problem, rows: Rows, *, by_rows: bool = True
) -> tuple[Tensor, dict[str, Interval]]:
    """Compute CROWN's lower bounds `[D, S]` of rows of the target.

    The bounds of the start nodes are returned, too, by name.
    """
    found = intermediate_bounds(problem, by_rows=by_rows)
    draw, target = problem.fixed_lines(found.bounds), problem.program.target
    return bound_rows(problem, target, rows, draw, found.errors), found.bounds


def _bound(problem: Problem, rows: DenseRows, options: MethodOptions) -> RowBounds:
    lower, bounds = crown(problem, rows)
    return RowBounds(no_looser(problem, rows, lower), bounds)


CROWN = BoundMethod("crown", _bound)
