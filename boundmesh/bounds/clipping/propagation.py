"""Propagation: known bounds of neurons that are affine in the inputs cut the inputs, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues, rounding
from boundmesh.kernels import fused_clipping
from boundmesh.operators.operator import Interval

# Rounds, at most; one that takes less than this share of every width is the last.
ROUNDS = 8
LEAST_GAIN = 0.05


def propagate(values: AffineValues, box: Interval) -> Interval:
    """Bounds `[D, n + U]` cut by each other: the neurons' by the inputs' and back, some rounds.

    Each neuron is at most its upper bound and at least its lower one: two constraints on the inputs
    (bound propagation of integer programming; on the clauses of a formula, unit propagation).
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
    """The largest shares `[D, n]` that bounds of neurons take of each input, from its lower end and
    from its upper one: `above` and `below` `[D, U]` are one over the rooms up to the upper bounds
    and down to the lower ones. One that is negative, as of a room that is none, is infinite."""
    above, below = (torch.where(each < 0, torch.inf, each) for each in (above, below))
    if fused_clipping.applies(values):
        return fused_clipping.largest_shares(values.rows, above, below)
    rising, falling = values.rows.clamp(min=0), values.rows.clamp(max=0).abs()
    return (
        torch.fmax(_largest(above, rising), _largest(below, falling)),
        torch.fmax(_largest(below, rising), _largest(above, falling)),
    )


def _largest(shares: Tensor, weights: Tensor) -> Tensor:
    """`max over z of shares[d, z]·weights[z, i]`: `[D, n]`; what is not a number is none."""
    return (shares.unsqueeze(2) * weights).nan_to_num(nan=0.0, posinf=torch.inf).amax(1)


def narrowed(inputs: Interval, from_low: Tensor, from_high: Tensor) -> Interval:
    """Boxes `[D, n]` of which each input keeps `1/from_low` at its lower end and `1/from_high` at
    its upper one.

    From `⟨w, x⟩ + t ≤ u` and its minimum m over the box, which the end xᵢ* attains, follows

        |xᵢ − xᵢ*| ≤ (u − m)/|wᵢ|.

    Where wᵢ = 0 nothing follows: 1/0 must be +∞, and so it is of a zero of either sign.
    """
    slack = rounding(inputs.lower.abs() + inputs.upper.abs())
    return Interval(
        torch.fmax(inputs.lower, inputs.upper - 1 / from_high.abs() - slack),
        torch.fmin(inputs.upper, inputs.lower + 1 / from_low.abs() + slack),
    )
