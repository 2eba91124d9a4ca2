"""Clipping: what a counterexample in a domain must satisfy cuts the values that it can take.

A domain is to be shown free of counterexamples, so only its points with `⟨a, x⟩ + k ≤ 0` matter,
where `⟨a, x⟩ + k` is the linear bound of an atom that the backward sweep left at the input. Over
these points the inputs, and the neurons that are affine in them, have smaller ranges (clipping,
arXiv 2512.11087); so they have in the half-spaces that splits and known bounds of neurons are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from boundmesh.bounds.affine_values import AffineValues, rounding
from boundmesh.rules.operator import Interval

# Coefficients of the domains that are clipped together: on a CPU as many as stay in its cache.
TOGETHER = {"cpu": 2**19, "cuda": 2**25}
# Multipliers tried for each bound.
MULTIPLIERS = 5
# Rounds of propagation, at most; one that takes less than this share of every width is the last.
ROUNDS = 8
LEAST_GAIN = 0.05


@dataclass(frozen=True)
class Constraints:
    """`⟨rows, x⟩ + constants ≤ 0` holds at every point that matters, `[D, S, n]` and `[D, S]`.

    It still holds with `more[q]·q` added, or `less[q]·q` taken away, for any one value q: its
    neuron's line may have any slope. Both `[D, S, Q]`, ≥ 0.
    """

    rows: Tensor
    constants: Tensor
    more: Tensor
    less: Tensor

    def take(self, which: Tensor | slice) -> Constraints:
        """Those of the domains at `which`."""
        return Constraints(
            self.rows[which], self.constants[which], self.more[which], self.less[which]
        )


@torch.no_grad()
def clip(values: AffineValues, box: Interval, constraints: Constraints) -> Interval:
    """Bounds `[D, Q]` of values cut to where the constraints hold; no point of a domain matters
    where a lower bound comes to lie above its upper one."""
    height = max(1, TOGETHER[box.lower.device.type] // values.rows.numel())
    parts = [slice(first, first + height) for first in range(0, len(box.lower), height)]
    found = [_clip(values, box.take(part), constraints.take(part)) for part in parts]
    return Interval(
        torch.cat([each.lower for each in found]), torch.cat([each.upper for each in found])
    )


def _clip(values: AffineValues, box: Interval, constraints: Constraints) -> Interval:
    box = propagate(values, box)
    for row in range(constraints.rows.shape[1]):
        cut = _Cut(values, box, constraints.rows[:, row], constraints.constants[:, row])
        box = Interval(
            torch.fmax(box.lower, cut.least(1.0, -constraints.less[:, row])),
            torch.fmin(box.upper, -cut.least(-1.0, constraints.more[:, row])),
        )
    return propagate(values, box)


def propagate(values: AffineValues, box: Interval) -> Interval:
    """Bounds `[D, Q]` cut by each other: the neurons' by the inputs' and back, for some rounds.

    From `⟨w, x⟩ + t ≤ u` and its minimum m over the box of x, which the end xᵢ* attains, follows

        |wᵢ|·|xᵢ − xᵢ*| ≤ u − m,

    and likewise from `⟨w, x⟩ + t ≥ l` and the maximum (bound propagation of integer programming;
    on the clauses of a formula, unit propagation).
    """
    n = values.inputs
    lower, upper = box.lower, box.upper
    rising, falling = values.rows.clamp(min=0), -values.rows.clamp(max=0)
    for _ in range(ROUNDS):
        low, high = lower[:, :n], upper[:, :n]
        reached = values.ranges(low, high)
        lower, upper = torch.fmax(lower, reached.lower), torch.fmin(upper, reached.upper)
        from_minimum = 1 / (upper - reached.lower).clamp(min=0)
        from_maximum = 1 / (reached.upper - lower).clamp(min=0)
        # 1/|xᵢ − xᵢ*| at least, where the end xᵢ* is the lower and where it is the upper one.
        from_low = torch.fmax(_largest(from_minimum, rising), _largest(from_maximum, falling))
        from_high = torch.fmax(_largest(from_maximum, rising), _largest(from_minimum, falling))
        slack = rounding(low.abs() + high.abs())
        least = torch.fmax(low, high - 1 / from_high - slack)
        most = torch.fmin(high, low + 1 / from_low + slack)
        lower, upper = torch.cat([least, lower[:, n:]], 1), torch.cat([most, upper[:, n:]], 1)
        if not bool((most - least < (1 - LEAST_GAIN) * (high - low) - 2 * slack).any()):
            break
    reached = values.ranges(lower[:, :n], upper[:, :n])
    return Interval(torch.fmax(lower, reached.lower), torch.fmin(upper, reached.upper))


def _largest(shares: Tensor, weights: Tensor) -> Tensor:
    """`max over q of shares[d, q]·weights[q, i]`: `[D, n]`."""
    return (shares.unsqueeze(2) * weights).nan_to_num(nan=0.0, posinf=torch.inf).amax(1)


class _Piece(NamedTuple):
    """A linear function of a multiplier λ, `[D, Q]`: its value at λ = 0 and its slope."""

    value: Tensor
    slope: Tensor


class _Cut:
    """One constraint `⟨a, x⟩ + k ≤ 0` against all values, a `[D, n]` and k `[D]`.

    For every λ ≥ 0 (Lagrangian duality; clipping in arXiv 2512.11087)

        min of ±q over the box and the constraint ≥ min over the box of ±q + λ·(⟨a, x⟩ + k),

    which is concave in λ and made of linear pieces. The next λ is where two of them cross, one that
    rises and one that falls (Kelley's cutting planes).
    """

    def __init__(self, values: AffineValues, box: Interval, row: Tensor, constant: Tensor) -> None:
        low, high = box.lower[:, : values.inputs], box.upper[:, : values.inputs]
        center, radius = (high + low) / 2, (high - low) / 2
        self.spread = values.rows * radius.unsqueeze(1)
        self.middle = center @ values.rows.T + values.constants
        self.row_spread = (row * radius).unsqueeze(1)
        self.row_middle = ((row * center).sum(1) + constant).unsqueeze(1)
        reach = center.abs() + radius
        self.size = reach @ values.rows.abs().T + values.constants.abs()
        self.row_size = ((row.abs() * reach).sum(1) + constant.abs()).unsqueeze(1)

    def least(self, sign: float, own: Tensor) -> Tensor:
        """Lower bounds `[D, Q]` of `sign·q` under the constraint with `own[q]·q` added to it."""
        base, steps = sign * self.spread, self.row_spread + own.unsqueeze(2) * self.spread
        rising = self._piece(sign, own, base.sign())
        falling = self._piece(sign, own, steps.sign())
        best = rising.value - rounding(self.size)
        for _ in range(MULTIPLIERS):
            crossing = (falling.value - rising.value) / (rising.slope - falling.slope)
            weight = crossing.nan_to_num(0.0, 0.0, 0.0).clamp(min=0)
            piece = self._piece(sign, own, torch.addcmul(base, weight.unsqueeze(2), steps).sign())
            size = self.size + weight * (self.row_size + own.abs() * self.size)
            best = torch.fmax(best, piece.value + weight * piece.slope - rounding(size))
            up = piece.slope > 0
            rising = _Piece(*(torch.where(up, a, b) for a, b in zip(piece, rising, strict=True)))
            falling = _Piece(*(torch.where(up, b, a) for a, b in zip(piece, falling, strict=True)))
        return best

    def _piece(self, sign: float, own: Tensor, pull: Tensor) -> _Piece:
        """`sign·q + λ·(constraint + own·q)` at the corner that lies against `pull` `[D, Q, n]`."""
        value = self.middle - (self.spread * pull).sum(2)
        row = self.row_middle - (self.row_spread * pull).sum(2)
        return _Piece(sign * value, row + own * value)
