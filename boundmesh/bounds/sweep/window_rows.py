"""Handles rows that are either dense, coefficients `[D or 1, S, *shape]`, or `Windows`."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion, Region
from boundmesh.kernels import fused_spread, fused_windows
from boundmesh.kernels.sums import added
from boundmesh.operators.window_lines import signed_inner_windows
from boundmesh.operators.windows import Windows


def dense(rows: Tensor | Windows) -> Tensor:
    """Return rows with all their coefficients."""
    return rows.dense() if isinstance(rows, Windows) else rows


def part_of(rows: Tensor | Windows, span: slice) -> Tensor | Windows:
    """Return some of the rows, as a view."""
    return rows.part(span) if isinstance(rows, Windows) else rows[:, span]


def smallest(rows: Tensor | Windows) -> Tensor | Windows:
    """Return rows as they take the least memory: windows as large as the map become the whole map.

    They become dense, or stay windows where kernels multiply these faster.
    """
    if not isinstance(rows, Windows) or rows.grid.saves or rows.grid.full:
        return rows
    return rows.filled() if _stays(rows) else rows.dense()


def _stays(rows: Windows) -> bool:
    return whole_stay(rows.coefficients.device, rows.coefficients.dtype)


def whole_stay(device: torch.device, dtype: torch.dtype) -> bool:
    """Return True if rows stay windows when these are whole maps, as kernels multiply them."""
    return fused_windows.usable(device, dtype) and fused_spread.usable(device)


def total(first: Tensor | Windows, second: Tensor | Windows) -> Tensor | Windows:
    """Add rows at the same value. The sum is dense if one is, or if their windows drift apart."""
    if isinstance(first, Windows) and isinstance(second, Windows):
        summed = first.plus(second)
        if summed is None and _stays(first):
            summed = first.filled().plus(second.filled())
        if summed is not None:
            return summed
    return dense(first) + dense(second)


def minimum(region: Region, rows: Tensor | Windows, onto: Tensor | None) -> Tensor:
    """Compute the minimum `[D, S]` of rows over a region, added to `onto` `[D, S]`."""
    if isinstance(rows, Windows) and isinstance(region, BoxRegion):
        lowest = signed_inner_windows(rows, region.lower, region.upper)
        return added(onto, lowest)
    return region.minimum(dense(rows), onto)
