"""Bounds on how far a computed weight can be from the exact one, in any precision.

A value formed by k basic operations (+ − × ÷ √), each with relative error ≤ u, differs from the
exact one by at most `γ_k(u)·size`, `γ_k(u) = k·u/(1 − k·u)` (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, chapter 3). `size` is the sum of the absolute values of the terms.

For `k·u ≥ 1` γ is infinite, and there is no bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Sizes are rounded themselves. Each is enlarged by more than its rounding can take away.
UPWARD = 1 + 2.0**-48


@dataclass(frozen=True)
class Formed:
    """The rounding of a weight that was computed from numbers of the file.

    For every unit roundoff u, the value computed with u differs from the exact one by at most
    γ_depth(u)·size, γ_k(u) = k·u/(1 − k·u). The stored value is one computed with u = 2⁻⁵³.

    size   float64, broadcastable to the weight, and no smaller than the absolute value of the
           weight; None stands for that absolute value itself
    depth  the number k of roundings; 0 for a number that stands in the file as it is
    """

    size: np.ndarray | None
    depth: int


EXACT = Formed(None, 0)
"""The record of a number that stands in the file: it has no rounding."""


def size_of(array: np.ndarray, formed: Formed) -> np.ndarray:
    """Return the size as an array of float64."""
    if formed.size is not None:
        return formed.size
    return np.abs(np.asarray(array, np.float64))


def of_sum(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """Return the rounding of `a + b`: sizes add up, and the larger depth grows by 1."""
    if first.size is None and second.size is None and np.all((a >= 0) == (b >= 0)):
        # All pairs have equal signs, so nothing cancels.
        return Formed(None, max(first.depth, second.depth) + 1)
    size = (size_of(a, first) + size_of(b, second)) * UPWARD
    return Formed(size, max(first.depth, second.depth) + 1)


def of_product(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """Return the rounding of `a·b`: sizes are multiplied, and the sum of the depths grows by 1."""
    depth = first.depth + second.depth + 1
    if first.size is None and second.size is None:
        return Formed(None, depth)
    return Formed(size_of(a, first) * size_of(b, second) * UPWARD, depth)


def of_quotient(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """Return the rounding of `a/b`.

    The size is `size_a/|b|`, and the depth is `depth_a + ⌈depth_b·(1 + r)⌉ + 1`, where r is the
    largest `size_b/|b|`. With d = depth_b, the relative error of `1/b` is at most
    `γ_d·r/(1 − γ_d·r) = d·u·r/(1 − d·u·(1 + r))`, which is at most γ of depth `d·(1 + r)`.
    """
    if second.size is None:
        depth = first.depth + 2 * second.depth + 1
        if first.size is None:
            return Formed(None, depth)
        return Formed(first.size / np.abs(np.asarray(b, np.float64)) * UPWARD, depth)
    magnitude = np.abs(np.asarray(b, np.float64))
    grown = float(np.max(second.size / magnitude, initial=1.0)) * UPWARD
    depth = first.depth + math.ceil(second.depth * (1 + grown)) + 1
    return Formed(size_of(a, first) / magnitude * UPWARD, depth)


def of_root(a: np.ndarray, formed: Formed) -> Formed:
    """Return the rounding of `√a`: the size is `√a·size_a/a`, and the depth grows by 1."""
    if formed.size is None:
        return Formed(None, formed.depth + 1)
    positive = np.where(a > 0, a, 1)
    grown = np.where(a > 0, formed.size / np.sqrt(positive), np.where(formed.size > 0, np.inf, 0))
    return Formed(np.asarray(grown * UPWARD), formed.depth + 1)


def of_matrix_product(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """Return the rounding of `a @ b`, whose sums of k products are added in any order.

    The size is `size_a @ size_b`, and the depth is the sum of both depths and k.
    """
    terms = a.shape[-1]
    # Rounding takes at most the share γ_k from the sums of sizes.
    size = (size_of(a, first) @ size_of(b, second)) * (UPWARD + terms * 2.0**-52)
    return Formed(size, first.depth + second.depth + terms)


def of_total(a: np.ndarray, formed: Formed, axes: tuple[int, ...]) -> Formed:
    """Return the rounding of a sum of n numbers over `axes`, added in any order.

    The axes are kept with length 1. The depth grows by n − 1.
    """
    terms = math.prod(a.shape[axis] for axis in axes)
    size = np.broadcast_to(size_of(a, formed), a.shape).sum(axis=axes, keepdims=True)
    return Formed(np.asarray(size * (UPWARD + terms * 2.0**-52)), formed.depth + max(terms - 1, 0))
