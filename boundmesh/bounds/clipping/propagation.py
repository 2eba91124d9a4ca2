"""Propagates bounds: those of neurons that are affine in the inputs cut these, and vice versa."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues, rounding
from boundmesh.kernels import fused_clipping
from boundmesh.operators.interval import Interval

# There are at most ROUNDS rounds. One that reduces no width by a share of LEAST_GAIN is the last.
ROUNDS = 8
LEAST_GAIN = 0.05


def propagate(values: AffineValues, box: Interval) -> Interval:
    """Cut bounds `[D, n + U]` by each other, those of neurons by those of inputs and vice versa.

    The lower and the upper bound of a neuron are two linear constraints on the inputs. The method
    is bound propagation of integer programming (for the clauses of a formula, unit propagation).
    """
    n = values.inputs
    low, high, least, most = box.lower[:, :n], box.upper[:, :n], box.lower[:, n:], box.upper[:, n:]
    for _ in range(ROUNDS):
        reached = values.ranges(low, high)
        least, most = torch.fmax(least, reached.lower), torch.fmin(most, reached.upper)
        above, below = 1 / (most - reached.lower), 1 / (reached.upper - least)
        narrow = narrowed(Interval(low, high), *largest_shares(values, above, below))
        gained = (narrow.upper - narrow.lower) < (1 - LEAST_GAIN) * (high - low)
        low, high = narrow.lower, narrow.upper
        if not bool(gained.any()):
            break
    reached = values.ranges(low, high)
    least, most = torch.fmax(least, reached.lower), torch.fmin(most, reached.upper)
    return Interval(torch.cat([low, least], dim=1), torch.cat([high, most], dim=1))


def largest_shares(values: AffineValues, above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the factors `[D, n]` by which bounds of neurons restrict each input.

    The first is relative to the lower end of each input, the second to its upper end. `above`
    `[D, U]` is 1 over the distance from a neuron's minimum to its upper bound, `below` `[D, U]` 1
    over the distance from its maximum to its lower bound. A negative value, of an empty range,
    counts as infinite.
    """
    above, below = (torch.where(share < 0, torch.inf, share) for share in (above, below))
    if fused_clipping.applies(values):
        return fused_clipping.largest_shares(values.rows, above, below)
    rising, falling = values.rows.clamp(min=0), values.rows.clamp(max=0).abs()
    return (
        torch.fmax(_largest(above, rising), _largest(below, falling)),
        torch.fmax(_largest(below, rising), _largest(above, falling)),
    )


def _largest(shares: Tensor, weights: Tensor) -> Tensor:
    """Compute `max over z of shares[d, z]·weights[z, i]`, `[D, n]`; NaN counts as zero."""
    return (shares.unsqueeze(2) * weights).nan_to_num(nan=0.0, posinf=torch.inf).amax(1)


def narrowed(inputs: Interval, from_low: Tensor, from_high: Tensor) -> Interval:
    """Cut boxes `[D, n]` to a distance of `1/from_low` from the lower end of each input, and of
    `1/from_high` from its upper end.

    Let m be the minimum of `⟨w, x⟩ + t` over the box, and xᵢ* the end that attains it. Then
    `⟨w, x⟩ + t ≤ u` implies

        |xᵢ − xᵢ*| ≤ (u − m)/|wᵢ|.

    If wᵢ = 0, nothing is implied: 1/0 must be +∞. The absolute value makes it so for −0, too.
    """
    slack = rounding(inputs.lower.abs() + inputs.upper.abs())
    return Interval(
        torch.fmax(inputs.lower, inputs.upper - 1 / from_high.abs() - slack),
        torch.fmin(inputs.upper, inputs.lower + 1 / from_low.abs() + slack),
    )
