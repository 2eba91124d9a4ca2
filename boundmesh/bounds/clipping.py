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

from boundmesh.bounds import clipping_fused
from boundmesh.bounds.affine_values import AffineValues, rounding
from boundmesh.rules.operator import Interval

# Coefficients of the domains that are clipped together: as many as stay in a CPU's cache. A GPU,
# which is slow to start each step, takes a batch in so many parts, at most.
TOGETHER = 2**19
MOST_PARTS = 16
# Multipliers tried for each bound.
MULTIPLIERS = 5
# Rounds of propagation, at most; one that takes less than this share of every width is the last.
ROUNDS = 8
LEAST_GAIN = 0.05


@dataclass(frozen=True)
class Constraints:
    """`⟨rows, x⟩ + constants ≤ 0` holds at every point that matters, `[D, S, n]` and `[D, S]`.

    It still holds with `more[z]·z` added, or `less[z]·z` taken away, for any one neuron z, as its
    line may have any slope. Both `[D, S, U]`, ≥ 0.
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
    """Bounds `[D, n + U]` of values cut to where the constraints hold; no point of a domain matters
    where a lower bound comes to lie above its upper one."""
    if clipping_fused.applies(values):
        return _clip(values, box, constraints)
    height = max(1, TOGETHER // values.rows.numel())
    if box.lower.is_cuda:
        height = max(height, -(-len(box.lower) // MOST_PARTS))
    parts = [slice(first, first + height) for first in range(0, len(box.lower), height)]
    found = [_clip(values, box.take(part), constraints.take(part)) for part in parts]
    return Interval(
        torch.cat([each.lower for each in found]), torch.cat([each.upper for each in found])
    )


def _clip(values: AffineValues, box: Interval, constraints: Constraints) -> Interval:
    box = propagate(values, box)
    for row in range(constraints.rows.shape[1]):
        cut = _Cut(values, box, constraints.rows[:, row], constraints.constants[:, row])
        inputs = cut.inputs()
        least, most = cut.neurons(constraints.less[:, row], constraints.more[:, row])
        box = Interval(
            torch.fmax(box.lower, torch.cat([inputs.lower, least], dim=1)),
            torch.fmin(box.upper, torch.cat([inputs.upper, most], dim=1)),
        )
    return propagate(values, box)


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
        narrow = _narrowed(Interval(low, high), *_largest_shares(values, above, below))
        gained = (narrow.upper - narrow.lower) < (1 - LEAST_GAIN) * (high - low)
        low, high = narrow.lower, narrow.upper
        if not bool(gained.any()):
            break
    reached = values.ranges(low, high)
    least, most = torch.fmax(least, reached.lower), torch.fmin(most, reached.upper)
    return Interval(torch.cat([low, least], dim=1), torch.cat([high, most], dim=1))


def _largest_shares(values: AffineValues, above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """The largest shares `[D, n]` that bounds of neurons take of each input, from its lower end and
    from its upper one: `above` and `below` `[D, U]` are one over the rooms up to the upper bounds
    and down to the lower ones. One that is negative, as of a room that is none, is infinite."""
    above, below = (torch.where(each < 0, torch.inf, each) for each in (above, below))
    if clipping_fused.applies(values):
        return clipping_fused.largest_shares(values.rows, above, below)
    rising, falling = values.rows.clamp(min=0), values.rows.clamp(max=0).abs()
    return (
        torch.fmax(_largest(above, rising), _largest(below, falling)),
        torch.fmax(_largest(below, rising), _largest(above, falling)),
    )


def _largest(shares: Tensor, weights: Tensor) -> Tensor:
    """`max over z of shares[d, z]·weights[z, i]`: `[D, n]`; what is not a number is none."""
    return (shares.unsqueeze(2) * weights).nan_to_num(nan=0.0, posinf=torch.inf).amax(1)


def _narrowed(inputs: Interval, from_low: Tensor, from_high: Tensor) -> Interval:
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


class _Piece(NamedTuple):
    """A linear function of a multiplier λ, `[D, U]`: its value at λ = 0 and its slope."""

    value: Tensor
    slope: Tensor


class _Cut:
    """One constraint `⟨a, x⟩ + k ≤ 0` against all values, a `[D, n]` and k `[D]`.

    For a neuron z and every λ ≥ 0 (Lagrangian duality; clipping in arXiv 2512.11087)

        min of ±z over the box and the constraint ≥ min over the box of ±z + λ·(⟨a, x⟩ + k),

    which is concave in λ and made of linear pieces. The next λ is where two of them cross, one that
    rises and one that falls (Kelley's cutting planes).
    """

    def __init__(self, values: AffineValues, box: Interval, row: Tensor, constant: Tensor) -> None:
        n = values.inputs
        self.values, self.row, self.constant = values, row, constant
        self.box = Interval(box.lower[:, :n], box.upper[:, :n])
        self.center = (self.box.upper + self.box.lower) / 2
        self.radius = (self.box.upper - self.box.lower) / 2
        self.reach = self.center.abs() + self.radius
        self.row_spread = (row * self.radius).unsqueeze(1)
        self.row_middle = ((row * self.center).sum(1) + constant).unsqueeze(1)
        self.row_size = ((row.abs() * self.reach).sum(1) + constant.abs()).unsqueeze(1)

    def neurons(self, less: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds `[D, U]` of the neurons under the constraint."""
        values, box = self.values, self.box
        if clipping_fused.applies(values):
            return clipping_fused.cut_neurons(
                values, box.lower, box.upper, self.row, self.constant, less, more, MULTIPLIERS
            )
        self.spread = values.rows * self.radius.unsqueeze(1)
        self.width = self.radius @ values.rows.abs().T
        self.middle = self.center @ values.rows.T + values.constants
        self.along = self.row_spread.squeeze(1) @ values.rows.sign().T
        self.size = self.reach @ values.rows.abs().T + values.constants.abs()
        return self.least(1.0, -less), -self.least(-1.0, more)

    def inputs(self) -> Interval:
        """The boxes `[D, n]` of the inputs under the constraint; inside out if it cannot hold."""
        room = self.row_spread.squeeze(1).abs().sum(1, True) - self.row_middle
        room = room + rounding(self.row_size, terms=self.row.shape[1])
        rising, falling = self.row.clamp(min=0), self.row.clamp(max=0).abs()
        narrow = _narrowed(self.box, rising / room, falling / room)
        return Interval(torch.where(room < 0, torch.inf, narrow.lower), narrow.upper)

    def least(self, sign: float, own: Tensor) -> Tensor:
        """Lower bounds `[D, U]` of `sign·z` under the constraint with `own[z]·z` added to it: the
        best found of

            g(λ) = sign·z(c) + λ·(⟨a, c⟩ + k + own·z(c)) − Σᵢ |sign·Tᵢ + λ·(aᵢ + own·Tᵢ)|·rᵢ

        with c the centre and r the radius of the box.
        """
        terms, base = self.row.shape[1], sign * self.spread
        steps = self.row_spread + own.unsqueeze(2) * self.spread
        value, climb = sign * self.middle, self.row_middle + own * self.middle
        rising = _Piece(value - self.width, climb - sign * (self.along + own * self.width))
        falling = _Piece(value - (base * steps.sign()).sum(2), climb - steps.abs().sum(2))
        best = rising.value - rounding(self.size, terms)
        for _ in range(MULTIPLIERS):
            crossing = (falling.value - rising.value) / (rising.slope - falling.slope)
            weight = crossing.nan_to_num(0.0, 0.0, 0.0).clamp(min=0)
            pull = torch.addcmul(base, weight.unsqueeze(2), steps)
            total = pull.abs().sum(2)
            found = value + weight * climb - total
            size = self.size + weight * (self.row_size + own.abs() * self.size)
            best = torch.fmax(best, found - rounding(size, terms))
            piece = self._piece(sign, own, weight, climb, found, total, pull.sign_())
            up = piece.slope > 0
            rising = _Piece(*(torch.where(up, a, b) for a, b in zip(piece, rising, strict=True)))
            falling = _Piece(*(torch.where(up, b, a) for a, b in zip(piece, falling, strict=True)))
        return best

    def _piece(
        self,
        sign: float,
        own: Tensor,
        weight: Tensor,
        climb: Tensor,
        found: Tensor,
        total: Tensor,
        corner: Tensor,
    ) -> _Piece:
        """The piece of g that is attained at λ = `weight`, from the corner `[D, U, n]` of signs.

        Only where the next λ is looked for depends on it, so it need not be exact: what the neuron
        itself has at the corner is taken from `total`, not summed again.
        """
        row = torch.matmul(corner, self.row_spread.mT).squeeze(2)
        mine = ((total - weight * row) / (sign + weight * own)).nan_to_num(0.0, 0.0, 0.0)
        slope = climb - row - own * torch.minimum(mine.abs(), self.width).copysign(mine)
        return _Piece(found - weight * slope, slope)
