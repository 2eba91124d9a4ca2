"""The rows of the clauses that a search refutes, and how exactly its numbers represent them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import errors_on
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.rounding_errors import magnitude
from boundmesh.operators.interval import Interval
from boundmesh.operators.rounding import INFLATION
from boundmesh.proof.margins import Margins, rounded_up


def rows_by_clause(
    margins: Margins, offset: Tensor, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return rows `[C, S, *output_shape]` and offsets `[C, S]` of all C clauses.

    S is the number of atoms of the longest clause. A shorter one repeats its first atom. `offset`
    (float64) has the number that each row of `margins` must exceed; it is rounded up to `dtype`.
    """
    table = margins.table
    rows = margins.rows(table.flatten(), dtype, device)[0]
    return rows.reshape(*table.shape, *rows.shape[1:]), rounded_up(offset[table], dtype).to(device)


def deviation(
    problem: Problem, bounds: Mapping[str, Interval], margins: Margins, dtype: torch.dtype
) -> Tensor | float:
    """Return how much rounding the coefficients to `dtype` can change each row's margin.

    The result is float64 `[S]` for all S rows of `margins`, and at least as large as the true
    change.
    """
    all_rows = torch.arange(len(margins.bound))
    change = margins.deviations(all_rows, dtype, problem.layout.device)
    errors = None if change is None else errors_on(problem, bounds)
    if change is None or errors is None:
        return 0.0
    reach = errors.reach[problem.program.target]
    return INFLATION * magnitude(change.double(), reach.double())[0].cpu()
