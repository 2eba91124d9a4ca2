"""How far a computed weight can be from the exact one, in any precision.

A value formed by k basic operations (+ − × ÷ √), each with relative error ≤ u, differs from the
exact one by at most `γ_k(u)·size`, `γ_k(u) = k·u/(1 − k·u)` (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, chapter 3). `size` is what the terms add up to without cancelling.

Nothing is promised for `k·u ≥ 1`, where γ is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Sizes are computed with rounding, too: each is made larger than that could make it smaller.
UPWARD = 1 + 2.0**-48


@dataclass(frozen=True)
class Formed:
    """A weight that was computed from the file's numbers.

    For every unit roundoff u, the value computed with u differs from the exact one by at most
    γ_depth(u)·size, γ_k(u) = k·u/(1 − k·u). The stored value is one computed with u = 2⁻⁵³.

    `size` is float64, at least the absolute value of what is stored, and broadcastable to the
    weight; None stands for that absolute value itself.
    """

    size: np.ndarray | None
    depth: int


EXACT = Formed(None, 0)
"""How a number of the file is formed: it is there."""


def size_of(array: np.ndarray, formed: Formed) -> np.ndarray:
    """The size as an array of float64."""
    if formed.size is not None:
        return formed.size
    return np.abs(np.asarray(array, np.float64))


def of_sum(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """`a + b`: sizes added, one operation more than the deeper of both."""
    if first.size is None and second.size is None and np.all((a >= 0) == (b >= 0)):
        # Nothing cancels.
        return Formed(None, max(first.depth, second.depth) + 1)
    size = (size_of(a, first) + size_of(b, second)) * UPWARD
    return Formed(size, max(first.depth, second.depth) + 1)


def of_product(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """`a·b`: sizes multiplied, depths added, and one operation more."""
    depth = first.depth + second.depth + 1
    if first.size is None and second.size is None:
        return Formed(None, depth)
    return Formed(size_of(a, first) * size_of(b, second) * UPWARD, depth)


def of_quotient(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """`a/b`: size `size_a/|b|`, depth `depth_a + ⌈depth_b·(1 + r)⌉ + 1`, `r = max(size_b/|b|)`.

    With d = depth_b, `1/b` is off by at most `γ_d·r/(1 − γ_d·r) = d·u·r/(1 − d·u·(1 + r))`,
    relative to itself, which is at most γ of depth `d·(1 + r)`.
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
    """`√a`: size `√a·size_a/a`, one operation more."""
    if formed.size is None:
        return Formed(None, formed.depth + 1)
    positive = np.where(a > 0, a, 1)
    grown = np.where(a > 0, formed.size / np.sqrt(positive), np.where(formed.size > 0, np.inf, 0))
    return Formed(np.asarray(grown * UPWARD), formed.depth + 1)


def of_matrix_product(a: np.ndarray, first: Formed, b: np.ndarray, second: Formed) -> Formed:
    """`a @ b` with sums of k products in any order: `size_a @ size_b`, depths added, and k more."""
    terms = a.shape[-1]
    # The sums of the sizes lose at most γ_k of themselves.
    size = (size_of(a, first) @ size_of(b, second)) * (UPWARD + terms * 2.0**-52)
    return Formed(size, first.depth + second.depth + terms)


def of_total(a: np.ndarray, formed: Formed, axes: tuple[int, ...]) -> Formed:
    """The sum of n numbers over `axes`, which stay as 1, in any order: n − 1 operations more."""
    terms = math.prod(a.shape[axis] for axis in axes)
    size = np.broadcast_to(size_of(a, formed), a.shape).sum(axis=axes, keepdims=True)
    return Formed(np.asarray(size * (UPWARD + terms * 2.0**-52)), formed.depth + max(terms - 1, 0))
