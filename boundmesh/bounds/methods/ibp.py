"""IBP carries intervals forward through every operator (arXiv 1810.12715)."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.methods.method import BoundMethod, MethodOptions, RowBounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.intervals import Intervals
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rounding_errors import lowered, magnitude
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.operators.rounding import INFLATION, gamma


@torch.no_grad()
def interval_rows(problem: Problem, rows: DenseRows) -> Tensor:
    """Compute IBP's lower bounds `[D, S]` of rows `[D or 1, S, *shape]` of the target."""
    program = problem.program
    intervals = Intervals(
        program, problem.layout, problem.region, [program.target], problem.rounding
    )
    intervals.advance(program.nodes)
    box, errors = intervals.known[program.target], intervals.errors
    lowest, error = BoxRegion(box.lower, box.upper).minimum(rows.coefficients), None
    if errors is not None:
        reach = torch.maximum(box.lower.abs(), box.upper.abs())
        unit = gamma(2 + errors.rounding.sum(reach[0].numel()), errors.rounding.own)
        error = magnitude(rows.coefficients, unit * INFLATION * reach)
        if rows.deviation is not None:
            error = error + magnitude(rows.deviation, reach)
    return lowered(lowest, error, errors)


def no_looser(problem: Problem, rows: DenseRows, lower: Tensor) -> Tensor:
    """Return bounds of rows that are nowhere below those of IBP, in a network with curves.

    Lines around curves can be looser than the interval, and can overflow where it does not.
    """
    if not problem.program.has_curves:
        return lower
    known = interval_rows(problem, rows)
    return torch.maximum(known, torch.where(lower.isnan(), known, lower))


def _bound(problem: Problem, rows: DenseRows, options: MethodOptions) -> RowBounds:
    return RowBounds(interval_rows(problem, rows), None)


IBP = BoundMethod("ibp", _bound)
