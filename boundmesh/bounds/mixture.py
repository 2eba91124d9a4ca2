"""Rows that must all hold together, refuted together.

A clause needs `row_s(x) ≤ offset_s` for all of its atoms s at one x. For any weights λ_s ≥ 0 that
sum to 1 it is refuted where the mixture is positive,

    min over x of Σ λ_s·(row_s(x) − offset_s) > 0,

though no single atom may be: each can hold somewhere, but not all at one point. At the best λ a
linear clause is refuted whenever it has no solution (duality of linear programs).
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.region import Region
from boundmesh.rules.operator import inner

STEPS = 12
RATE = 2.0


def mixed_margin(region: Region, rows: Tensor, constants: Tensor) -> Tensor:
    """`max over λ of min over x of Σ λ_s·(⟨rows_s, x⟩ + constants_s)`, `[D]`, from below.

    rows `[D, S, *input_shape]`, constants `[D, S]`. Never below the best single row; but gradients
    are always those of the mixture at the λ that is found, as a single row may be at its best
    while the mixture can still rise.
    """
    single = (region.minimum(rows) + constants).amax(1)
    if rows.shape[1] == 1:
        return single
    with torch.no_grad():
        weights = best_weights(region, rows.detach(), constants.detach())
    mixed = _mix(weights, rows)
    together = region.minimum(mixed)[:, 0] + (weights * constants).sum(1)
    return together + (torch.maximum(single, together) - together).detach()


def best_weights(region: Region, rows: Tensor, constants: Tensor) -> Tensor:
    """λ `[D, S]` by multiplicative weights: what is violated least at the worst point loses."""
    weights = torch.full_like(constants, 1 / constants.shape[1])
    best, found = torch.full_like(constants[:, 0], -torch.inf), weights
    for step in range(STEPS):
        mixed = _mix(weights, rows)
        values = inner(rows, region.minimizer(mixed)) + constants
        margin = (weights * values).sum(1)
        better = margin > best
        best = torch.where(better, margin, best)
        found = torch.where(better[:, None], weights, found)
        scale = values.abs().amax(1, keepdim=True).clamp(min=1e-30)
        weights = weights * torch.exp(RATE / (1 + step) ** 0.5 * values / scale)
        weights = (weights / weights.sum(1, keepdim=True)).nan_to_num(1 / constants.shape[1])
    return found


def _mix(weights: Tensor, rows: Tensor) -> Tensor:
    return (weights.reshape(*weights.shape, *[1] * (rows.dim() - 2)) * rows).sum(1, keepdim=True)
