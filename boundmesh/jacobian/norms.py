"""Upper bounds of the norms of matrices that lie between two others, with rounding counted."""

from __future__ import annotations

import math

import numpy as np

UP = 2.0**-50
"""The relative error of a few roundings in float64, with room to spare."""


MOST_VALUES = 512
"""A matrix with more singular values than that has a bound without decomposing it into them."""


def total(numbers: np.ndarray) -> float:
    """Return an upper bound of the sum of numbers ≥ 0.

    `fsum` rounds once, so the next float64 above its result is not below the exact sum.
    """
    total = math.fsum(numbers.tolist())
    return math.nextafter(total, math.inf) if total else 0.0


def row_sum(largest: np.ndarray) -> float:
    """Bound `‖M‖∞ = max_i Σ_j |M_ij|` from the largest absolute value of each entry."""
    return max((total(row) for row in largest), default=0.0)


def spectral(lower: np.ndarray, upper: np.ndarray) -> float:
    """Bound `‖M‖₂` of all `lower ≤ M ≤ upper`.

    It is the smaller of two bounds: that of the matrix of largest absolute values, and
    `‖centre‖₂ + ‖radius‖₂`. Where rows and columns do not overlap, the first is the norm.
    """
    largest = np.maximum(np.abs(lower), np.abs(upper))
    if (largest > 0).sum(0).max(initial=0) <= 1 and (largest > 0).sum(1).max(initial=0) <= 1:
        return float(largest.max(initial=0.0))
    center = lower / 2 + upper / 2
    radius = np.maximum(upper - center, center - lower)
    radius = np.nextafter(radius * (1 + UP), np.inf)
    return min(of_positive(largest), (of_any(center) + of_positive(radius)) * (1 + UP))


def of_positive(matrix: np.ndarray) -> float:
    """Bound `‖M‖₂` of a matrix with entries ≥ 0.

    For every vector v > 0, `‖M‖₂² ≤ max_j (MᵀMv)_j / v_j` (Collatz and Wielandt). The bound is best
    where v is the leading singular vector. Products of numbers ≥ 0 are increased by what their
    rounding can take away.
    """
    outputs, inputs = matrix.shape
    if not matrix.any():
        return 0.0
    v = np.ones(inputs)
    for _ in range(50):
        v = matrix.T @ (matrix @ v)
        v /= v.max()
    v = np.maximum(v, 1e-6)
    sums = matrix.T @ (matrix @ v)
    grown = 1 + (outputs + inputs + 8) * 2.0**-52
    # Underflow takes less than this from a sum.
    least = (outputs + 1) * (inputs + 1) * max(1.0, float(matrix.max())) * 1e-300
    squared = float(((sums * grown + least) / v).max()) * (1 + UP)
    return min(
        math.sqrt(squared) * (1 + UP), math.sqrt(row_sum(matrix) * row_sum(matrix.T)) * (1 + UP)
    )


def of_any(matrix: np.ndarray) -> float:
    """Bound `‖M‖₂` by a singular value decomposition M ≈ UΣVᵀ whose errors are bounded.

    `‖M‖₂ ≤ ‖M − UΣVᵀ‖ + ‖U‖₂·σ·‖V‖₂`, and `‖U‖₂² ≤ 1 + ‖UᵀU − 1‖`, in Frobenius norms, each with
    γ times the product of absolute values added for the rounding of its computation.
    """
    if not matrix.any():
        return 0.0
    if min(matrix.shape) > MOST_VALUES:
        return _of_large(matrix)
    u, sizes, v = np.linalg.svd(matrix, full_matrices=False)
    scaled = u * sizes
    gamma = (max(matrix.shape) + 8) * 2.0**-52
    off = np.abs(matrix - scaled @ v) + gamma * (np.abs(matrix) + np.abs(scaled) @ np.abs(v))
    left, right = (1 + _off_identity(factor, gamma) for factor in (u.T, v))
    size = _frobenius(off) + math.sqrt(left * right) * float(sizes.max(initial=0.0)) * (1 + UP)
    return size * (1 + UP) + 1e-290


def _of_large(matrix: np.ndarray) -> float:
    """Bound `‖M‖₂` by a shift s for which `s − MᵀM` has a Cholesky factor.

    Where the factor R of `A = s − MᵀM` is computed, `RᵀR` differs from A by at most γ·trace(RᵀR),
    and A has no eigenvalue below −2γ·trace(A) (S. M. Rump, "Verification of positive definiteness",
    BIT 46, 2006). The product `MᵀM` errs by at most γ·‖M‖₁·‖M‖∞.
    """
    m = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    simple = math.sqrt(row_sum(np.abs(m)) * row_sum(np.abs(m.T))) * (1 + UP)
    gram, size = m.T @ m, m.shape[1]
    near, gamma = float(np.linalg.eigvalsh(gram)[-1]), (max(m.shape) + 8) * 2.0**-52
    for share in (1e-9, 1e-6, 1e-3):
        shifted = near * (1 + share) * np.eye(size) - gram
        try:
            np.linalg.cholesky(shifted)
        except np.linalg.LinAlgError:
            continue
        trace = total(np.abs(np.diag(shifted)))
        squared = near * (1 + share) + 4 * gamma * trace + 2 * gamma * simple**2
        return min(simple, math.sqrt(squared * (1 + UP)) * (1 + UP) + 1e-140)
    return simple


def _off_identity(rows: np.ndarray, gamma: float) -> float:
    """Bound `‖R Rᵀ − 1‖` of nearly orthonormal rows."""
    product, sizes = rows @ rows.T, np.abs(rows) @ np.abs(rows).T
    return _frobenius(np.abs(product - np.eye(len(rows))) + 2 * gamma * (sizes + 1))


def _frobenius(matrix: np.ndarray) -> float:
    return math.sqrt(total((matrix * matrix).ravel())) * (1 + UP) + 1e-150
