"""Boxes cut to the part in which the atoms of a clause can hold, by the linear bounds of its rows.

In a box with `row_s(x) ≥ ⟨A, x⟩ + constant` every point at which atom s holds has
`⟨A, x⟩ + constant ≤ 0`. As `A_i·x_i` is what is left when all other inputs take their least,

    A_i·x_i ≤ min A_i·x_i − m,      m = min over the box of ⟨A, x⟩ + constant,

so that x_i lies within `−m / |A_i|` of the end at which the row is least. What is cut off is a box
on which the same row is positive, so it is refuted by the rule that refutes whole boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion

# What is left of a box is made wider by so many roundings of the numbers it was made from, and by
# one for each term of their sums.
ROUNDINGS = 64
EPSILON = torch.finfo(torch.float64).eps


def contract(
    region: BoxRegion, rows: Tensor, constants: Tensor, members: Tensor, wanted: Tensor
) -> tuple[BoxRegion, Tensor]:
    """The hull of what the clauses `wanted` `[D, clauses]` leave of each box, and the clauses that
    leave nothing `[D, clauses]`; a box of which nothing is left stays as it was.

    rows `[D, S, *input_shape]`, constants `[D, S]` float64, members `[clauses, most]` the rows of
    each clause. NaN cuts nothing.
    """
    shape = region.lower.shape
    rows = rows.flatten(2).double()
    lower, upper = region.lower.flatten(1), region.upper.flatten(1)
    least, most = _ends(lower.double().unsqueeze(1), upper.double().unsqueeze(1), rows, constants)
    # All atoms of a clause hold together; [D, clauses, inputs].
    least, most = least[:, members].amax(2), most[:, members].amin(2)
    empty = (least > most).any(2)
    left = (wanted & ~empty).unsqueeze(2)
    least = torch.where(left, least, torch.inf).amin(1)
    most = torch.where(left, most, -torch.inf).amax(1)
    any_left = left.any(1)
    low = torch.where(any_left, torch.maximum(_down(least, lower.dtype), lower), lower)
    high = torch.where(any_left, torch.minimum(_up(most, upper.dtype), upper), upper)
    return BoxRegion(low.reshape(shape), high.reshape(shape)), empty


def _ends(lower: Tensor, upper: Tensor, rows: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """Where x_i can lie if the row of one atom is not positive: `[D, S, inputs]` each."""
    at_least = torch.where(rows >= 0, lower, upper)
    parts = rows * at_least
    share = (ROUNDINGS + rows.shape[2]) * EPSILON
    rounding = share * (parts.abs().sum(2) + constants.abs())
    short = (rounding - (parts.sum(2) + constants)).clamp(min=0).unsqueeze(2)
    # A row without this input leaves it alone: short / 0 is infinite, 0 / 0 not a number.
    away = (short / rows.abs()).nan_to_num(nan=torch.inf, posinf=torch.inf) * (1 + share)
    # An end that is not moved stays as it is: lower + (upper − lower) can fall short of upper.
    moved = away < upper - lower
    most = torch.where((rows > 0) & moved, lower + away, upper)
    least = torch.where((rows < 0) & moved, upper - away, lower)
    return least, most


def _down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The next number of `dtype` below."""
    near = values.to(dtype)
    return torch.nextafter(near, torch.full_like(near, -torch.inf))


def _up(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The next number of `dtype` above."""
    near = values.to(dtype)
    return torch.nextafter(near, torch.full_like(near, torch.inf))
