"""Weights that are computed from a file's numbers, and how far rounding may have moved them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Formed:
    """A weight that was computed from the file's numbers.

    For every unit roundoff u, the value computed with u differs from the exact one by at most
    `γ_depth(u)·size`. `size` is float64, no less than the absolute value and broadcastable to the
    weight (None: the absolute value itself).
    """

    size: np.ndarray | None
    depth: int
