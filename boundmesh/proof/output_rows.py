"""Converts rows as users give them to rows that bounds are computed of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.errors import BoundmeshError
from boundmesh.models import rows_of
from boundmesh.rational import without_numbers


def matrix_of(rows: Any, outputs: int, regions: int) -> np.ndarray:
    """Return rows as float64 `[1, S, outputs]`, or `[N, S, outputs]` where each region has its own.

    Raises BoundmeshError for anything else.
    """
    if kind := without_numbers(rows):
        raise BoundmeshError(
            f"rows are {kind}; expected S rows of {outputs} numbers, one for each output"
        )
    try:
        shape = np.shape(rows.detach().cpu() if isinstance(rows, torch.Tensor) else rows)
    except ValueError:
        # Lists of different lengths have no shape; `rows_of` explains what is expected.
        shape = ()
    if len(shape) != 3 or shape[0] != regions or shape[2] != outputs:
        return rows_of(rows, outputs)[None]
    return np.stack([rows_of(region_rows, outputs) for region_rows in rows])


def dense_rows(matrix: np.ndarray, shape: tuple[int, ...], layout: DeviceLayout) -> DenseRows:
    """Convert rows to the layout's dtype, together with how far each is from the given one."""
    exact = torch.from_numpy(np.asarray(matrix, dtype=np.float64))
    near = exact.to(layout.dtype)
    off = (exact - near.double()).abs().to(layout.dtype)
    deviation = off.to(layout.device).reshape(shape) if bool(off.any()) else None
    return DenseRows(near.to(layout.device).reshape(shape), deviation)
