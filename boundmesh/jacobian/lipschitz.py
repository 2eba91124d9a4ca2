"""Certified local Lipschitz constants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from boundmesh.errors import BoundmeshError
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.jacobian.bounds import Backward, JacobianBounds, backward_of
from boundmesh.jacobian.layers import of_layers
from boundmesh.jacobian.norms import row_sum, spectral
from boundmesh.property import Ball, Box
from boundmesh.ranges import COUNT, shown

if TYPE_CHECKING:
    from boundmesh.models import Model


@dataclass(frozen=True)
class Lipschitz:
    """A local Lipschitz constant: `‖f(x) − f(y)‖ ≤ upper·‖x − y‖` for all x and y of the region.

    upper    certified: it holds in real arithmetic
    sampled  the largest norm of the Jacobian at sampled points. The best constant lies between it
             and `upper`, up to the rounding of the sample
    norm     1, 2 or ∞, for both inputs and outputs
    """

    upper: float
    sampled: float
    norm: float

    def __repr__(self) -> str:
        return f"Lipschitz(≤ {self.upper:.6g}, sampled {self.sampled:.6g}, norm {self.norm:g})"


def lipschitz(
    model: Model,
    region: Box | Ball,
    *,
    norm: Any = math.inf,
    method: str = "crown",
    samples: int = 64,
    **options: Any,
) -> Lipschitz:
    """Bound the Lipschitz constant of a network on a region, in one norm for inputs and outputs.

        norm ∞   max_i Σ_j |J_ij|, whose sum is bounded as a part of the backward pass
        norm 1   max_j Σ_i |J_ij|, from bounds of the entries
        norm 2   the largest singular value, from bounds of the entries

    It is never above the product of the layers' norms and the steepest slopes between them, where
    layers have at most 2²⁴ coefficients (see `layers.py` for networks with branches).

    `method` and `options` are those of `jacobian`. `samples` points show how tight the bound is.
    Raises the errors of `jacobian`, and BoundmeshError for another norm.
    """
    known = {1: 1.0, 2: 2.0, math.inf: math.inf, "1": 1.0, "2": 2.0, "inf": math.inf}
    order = known.get(norm) if isinstance(norm, int | float | str) else None
    if order is None or isinstance(norm, bool):
        raise BoundmeshError(f"norm is {shown(norm)}; expected 1, 2 or inf")
    COUNT.read("samples", samples)
    backward = backward_of(model, region, method, options)
    entries = JacobianBounds(*backward.rows())
    upper = _upper(backward, entries, order)
    points = sample(region, samples, backward.graph[backward.graph.input].shape)
    return Lipschitz(upper, largest_norm(backward.graph, points, order), order)


def _upper(backward: Backward, entries: JacobianBounds, norm: float) -> float:
    return min(
        _of_jacobian(backward, entries, norm), of_layers(backward.graph, backward.slopes, norm)
    )


def _of_jacobian(backward: Backward, entries: JacobianBounds, norm: float) -> float:
    if norm == 2:
        return spectral(entries.lower, entries.upper)
    if norm == 1:
        return row_sum(entries.largest.T)
    sums = backward.rows(absolute=True)[1][:, 0]
    by_row = [row_sum(row[None]) for row in entries.largest]
    return max(map(min, by_row, sums.tolist()), default=0.0)


def sample(region: Box | Ball, count: int, shape: tuple[int, ...]) -> Tensor:
    """Return points of a region, float64 `[count, *shape]`, the same ones every time."""
    random = np.random.default_rng(0)
    if isinstance(region, Box):
        low, high = region.lower.ravel(), region.upper.ravel()
        points = random.uniform(low, high, (count, low.size))
    else:
        center, radius = np.ravel(region.center).astype(float), float(region.radius)
        away = random.normal(size=(count, center.size))
        sizes = np.linalg.norm(away, ord=region.p, axis=1, keepdims=True)
        points = center + 0.999999 * radius * random.uniform(size=(count, 1)) * away / sizes
        if region.clip is not None:
            points = np.clip(points, *region.clip)
    return torch.from_numpy(points.reshape(count, *shape))


def largest_norm(graph: Graph, points: Tensor, norm: float) -> float:
    """Return the largest norm of the Jacobian at points, computed by autograd in float64."""
    weights, largest = tensors(graph, torch.float64), 0.0
    for point in points:
        x = point[None].requires_grad_()
        y = forward(graph, weights, x).flatten()
        rows = [torch.autograd.grad(output, x, retain_graph=True)[0].flatten() for output in y]
        norm_here = float(torch.linalg.matrix_norm(torch.stack(rows), ord=norm))
        largest = max(largest, norm_here)
    return largest
