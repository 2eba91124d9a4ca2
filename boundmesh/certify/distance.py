"""Measures how far a counterexample is from its input, rounded up, and makes points between."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from boundmesh.rational import rounded


def distance(point: np.ndarray, other: np.ndarray, norm: float) -> float:
    """Return the smallest float64 that is not below `‖point − other‖` of flat float64 points.

    For the 2-norm it may be the next one above.
    """
    moved = np.flatnonzero(point != other)
    # Only the largest differences count for the maximum norm; the others need all of them.
    if norm == math.inf and len(moved):
        about = np.abs(point - other)
        moved = np.flatnonzero(about >= about.max() * (1 - 1e-12))
    away = [abs(Fraction(float(point[i])) - Fraction(float(other[i]))) for i in moved.tolist()]
    if norm == math.inf:
        return rounded(max(away, default=Fraction(0)), up=True)
    if norm == 1:
        return rounded(sum(away, Fraction(0)), up=True)
    squares = sum((difference**2 for difference in away), Fraction(0))
    root = math.sqrt(rounded(squares, up=True))
    while Fraction(root) ** 2 < squares:
        root = math.nextafter(root, math.inf)
    return root
