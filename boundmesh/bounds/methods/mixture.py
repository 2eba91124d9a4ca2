"""Refutes a clause, whose atoms must all hold at one point, by a mixture of its rows.

A clause needs `row_s(x) ≤ offset_s` for all of its atoms s at one x. For any weights λ_s ≥ 0 that
sum to 1, it is refuted if the minimum of the mixture is positive,

    min over x of Σ λ_s·(row_s(x) − offset_s) > 0.

This can hold although no single atom is refuted: each atom may hold somewhere, but not all at one
point. The best λ refutes every linear clause without a solution (duality of linear programs).
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors, lowered, magnitude
from boundmesh.operators.inner_products import inner
from boundmesh.operators.rounding import INFLATION, gamma

STEPS = 12
RATE = 2.0


def mixed_margin(
    region: Region,
    rows: Tensor,
    constants: Tensor,
    error: Tensor | None = None,
    errors: Errors | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute a lower bound `[D]` of the margin

        max over λ of min over x of Σ λ_s·(⟨rows_s, x⟩ + constants_s)

    and what was subtracted from it for rounding, `[D]`. The bound is never below that of the best
    single row. Gradients are always those of the mixture at the λ that is found, because a single
    row may be at its maximum while the mixture can still rise.

    rows       `[D, S, *input_shape]`
    constants  `[D, S]`
    error      `[D, S]`, the rounding error of the rows (None: zero)
    errors     bounds of rounding errors (None: rounding is not counted)
    """
    lowest = region.minimum(rows) + constants
    if rows.shape[1] == 1:
        margin = lowered(lowest, error, errors, constants)[:, 0]
        return margin, (lowest[:, 0] - margin).detach()
    lost = _lost(region, rows, constants, error, errors)
    single = (lowest - lost).amax(1)
    with torch.no_grad():
        best = (lowest - lost).argmax(1, keepdim=True)
        of_single = lost.expand(lowest.shape).gather(1, best).squeeze(1)
        weights = best_weights(region, rows.detach(), (constants - lost).detach())
        of_mixed = (weights * lost).sum(1) * INFLATION
    mixed = _mix(weights, rows)
    together = region.minimum(mixed)[:, 0] + (weights * constants).sum(1) - of_mixed
    best_margin = together + (torch.maximum(single, together) - together).detach()
    return best_margin, torch.where(single > together, of_single, of_mixed)


@torch.no_grad()
def _lost(
    region: Region,
    rows: Tensor,
    constants: Tensor,
    error: Tensor | None,
    errors: Errors | None,
) -> Tensor:
    """Bound the rounding error of each row, `[D, S]`; that of a mixture is at most their mixture.

    A mixture adds S products for each coefficient. Its relative error is therefore at most γ of
    S + 4 roundings.
    """
    if errors is None:
        return constants.new_zeros(())[None, None].expand(constants.shape)
    box = region.interval
    reach = torch.maximum(box.lower.abs(), box.upper.abs())
    unit = gamma(rows.shape[1] + 8, errors.rounding.own)
    lost = unit * INFLATION * (magnitude(rows, reach) + constants.detach().abs())
    if error is not None:
        lost = lost + INFLATION * error
    if errors.underflow is not None:
        lost = lost + errors.underflow.unsqueeze(1)
    return lost


def best_weights(region: Region, rows: Tensor, constants: Tensor) -> Tensor:
    """Find λ `[D, S]` by multiplicative weights.

    At the minimiser of the mixture, rows with larger values gain weight and the others lose it.
    """
    weights = torch.full_like(constants, 1 / constants.shape[1])
    best, best_so_far = torch.full_like(constants[:, 0], -torch.inf), weights
    for step in range(STEPS):
        mixed = _mix(weights, rows)
        values = inner(rows, region.minimizer(mixed)) + constants
        margin = (weights * values).sum(1)
        better = margin > best
        best = torch.where(better, margin, best)
        best_so_far = torch.where(better[:, None], weights, best_so_far)
        scale = values.abs().amax(1, keepdim=True).clamp(min=1e-30)
        weights = weights * torch.exp(RATE / (1 + step) ** 0.5 * values / scale)
        weights = (weights / weights.sum(1, keepdim=True)).nan_to_num(1 / constants.shape[1])
    return best_so_far


def _mix(weights: Tensor, rows: Tensor) -> Tensor:
    return (weights.reshape(*weights.shape, *[1] * (rows.dim() - 2)) * rows).sum(1, keepdim=True)
