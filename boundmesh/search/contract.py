"""Cuts boxes to the part in which the atoms of a clause can hold, by linear bounds of its rows.

In a box with `row_s(x) ≥ ⟨A, x⟩ + constant` every point at which atom s holds has
`⟨A, x⟩ + constant ≤ 0`. All other inputs add at least their minimum to the row, so

    A_i·x_i ≤ min A_i·x_i − m,      m = min over the box of ⟨A, x⟩ + constant,

and x_i lies within `−m / |A_i|` of the end at which the row is smallest. The part that is cut off
is a box on which the same row is positive, so the rule that refutes whole boxes refutes it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion

# The box that is left is widened by so many rounding errors of the numbers that it was made from,
# and by one more for each term of their sums.
ROUNDINGS = 64
EPSILON = torch.finfo(torch.float64).eps


def contract(
    region: BoxRegion, rows: Tensor, constants: Tensor, members: Tensor, wanted: Tensor
) -> tuple[BoxRegion, Tensor]:
    """Cut each box to the smallest box around all points where a wanted clause can hold.

    rows       `[D, S, *input_shape]`
    constants  `[D, S]`, float64
    members    `[clauses, most]`: the rows of each clause
    wanted     `[D, clauses]`: the mask of clauses to consider

    Returns the boxes, and the mask `[D, clauses]` of clauses that can hold nowhere in a box. A box
    where no clause can hold is returned uncut. NaN cuts nothing.
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
    """Return the ends `[D, S, inputs]` between which x_i must lie if one row is not positive."""
    at_least = torch.where(rows >= 0, lower, upper)
    parts = rows * at_least
    share = (ROUNDINGS + rows.shape[2]) * EPSILON
    rounding = share * (parts.abs().sum(2) + constants.abs())
    short = (rounding - (parts.sum(2) + constants)).clamp(min=0).unsqueeze(2)
    # A row with A_i = 0 does not cut x_i: short / 0 is infinite, and 0 / 0 is NaN.
    away = (short / rows.abs()).nan_to_num(nan=torch.inf, posinf=torch.inf) * (1 + share)
    # An end that does not move is copied, since lower + (upper − lower) can round to below upper.
    moved = away < upper - lower
    most = torch.where((rows > 0) & moved, lower + away, upper)
    least = torch.where((rows < 0) & moved, upper - away, lower)
    return least, most


def _down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round to `dtype`, then step to the next smaller number."""
    near = values.to(dtype)
    return torch.nextafter(near, torch.full_like(near, -torch.inf))


def _up(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round to `dtype`, then step to the next larger number."""
    near = values.to(dtype)
    return torch.nextafter(near, torch.full_like(near, torch.inf))
