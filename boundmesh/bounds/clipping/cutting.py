"""Bounds of all values that are affine in the inputs, under one constraint on the inputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues, rounding, share_of_rounding
from boundmesh.bounds.clipping.propagation import narrowed
from boundmesh.kernels import fused_clipping
from boundmesh.operators.interval import Interval

# How many multipliers λ are tried for each bound.
MULTIPLIERS = 5


class _Piece(NamedTuple):
    """A linear function of a multiplier λ, `[D, U]`: its value at λ = 0 and its slope."""

    value: Tensor
    slope: Tensor


class Cutting:
    """Bounds of all values under one constraint `⟨a, x⟩ + k ≤ 0`, with a `[D, n]` and k `[D]`.

    For a neuron z and every λ ≥ 0 (Lagrangian duality; clipping in arXiv 2512.11087)

        min of ±z over the box and the constraint ≥ min over the box of ±z + λ·(⟨a, x⟩ + k).

    The right side is concave and piecewise linear in λ. The next λ is where a rising and a falling
    piece cross (Kelley's cutting planes).
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
        """Compute lower and upper bounds `[D, U]` of the neurons under the constraint."""
        values, box = self.values, self.box
        if fused_clipping.applies(values):
            return fused_clipping.cut_neurons(
                values,
                box.lower,
                box.upper,
                self.row,
                self.constant,
                less,
                more,
                MULTIPLIERS,
                share_of_rounding(values),
            )
        self.spread = values.rows * self.radius.unsqueeze(1)
        self.width = self.radius @ values.rows.abs().T
        self.middle = self.center @ values.rows.T + values.constants
        self.along = self.row_spread.squeeze(1) @ values.rows.sign().T
        self.size = self.reach @ values.rows.abs().T + values.sizes
        return self.least(1.0, -less), -self.least(-1.0, more)

    def inputs(self) -> Interval:
        """Compute boxes `[D, n]` of the inputs; lower > upper if the constraint cannot hold."""
        room = self.row_spread.squeeze(1).abs().sum(1, True) - self.row_middle
        room = room + rounding(self.row_size, terms=self.row.shape[1])
        rising, falling = self.row.clamp(min=0), self.row.clamp(max=0).abs()
        narrow = narrowed(self.box, rising / room, falling / room)
        return Interval(torch.where(room < 0, torch.inf, narrow.lower), narrow.upper)

    def least(self, sign: float, own: Tensor) -> Tensor:
        """Compute lower bounds `[D, U]` of `sign·z` under the constraint with `own[z]·z` added.

        The result is the largest value found of

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
            bound = value + weight * climb - total
            size = self.size + weight * (self.row_size + own.abs() * self.size)
            best = torch.fmax(best, bound - rounding(size, terms))
            piece = self._piece(sign, own, weight, climb, bound, total, pull.sign_())
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
        bound: Tensor,
        total: Tensor,
        corner: Tensor,
    ) -> _Piece:
        """Compute the linear piece of g at λ = `weight`, from the corner `[D, U, n]` of signs.

        It need not be exact, as only the choice of the next λ depends on it. The neuron's own value
        at the corner is therefore derived from `total`, and not summed again.
        """
        row = torch.matmul(corner, self.row_spread.mT).squeeze(2)
        mine = ((total - weight * row) / (sign + weight * own)).nan_to_num(0.0, 0.0, 0.0)
        slope = climb - row - own * torch.minimum(mine.abs(), self.width).copysign(mine)
        return _Piece(bound - weight * slope, slope)
