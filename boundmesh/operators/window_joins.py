"""Writes coefficients in windows to larger windows of the same rows, and adds them up there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from boundmesh.kernels import fused_windows
from boundmesh.operators.window_grid import Grid, Span, widths


def added_windows(
    first: Tensor, first_grid: Grid, second: Tensor, second_grid: Grid, grid: Grid
) -> Tensor:
    """Add the S rows `second` to the S rows `first`, and return the sums in the windows of `grid`.

    These windows contain those of both grids. The coefficients and the sums are
    `[D or 1, S, *window, C]`, where each grid has a window of its own size.
    """
    if fused_windows.applies(first):
        return joined(first, first_grid, second, second_grid, grid)
    if first_grid.spans != grid.spans:
        first, first_grid, second, second_grid = second, second_grid, first, first_grid
    total = functional.pad(first, widths(first_grid.spans, grid.spans))
    if torch.is_grad_enabled() or len(total) < len(second):
        return total + functional.pad(second, widths(second_grid.spans, grid.spans))
    if first_grid.spans == grid.spans:
        total = total.clone()
    _inside(total, second_grid.spans, grid.spans).add_(second)
    return total


def joined(
    first: Tensor, first_grid: Grid, second: Tensor | None, second_grid: Grid | None, grid: Grid
) -> Tensor:
    """Compute `added_windows` by a kernel, on a GPU.

    Without `second`, the rows `first` are written to the windows of `grid`.
    """
    result: Tensor = _Joined.apply(first, second, first_grid, second_grid, grid)
    return result


def _inside(rows: Tensor, part: Sequence[Span], whole: Sequence[Span]) -> Tensor:
    """Return the coefficients that rows in windows `whole` have in the windows `part`, a view."""
    for axis, (inner, outer) in enumerate(zip(part, whole, strict=True), 2):
        rows = rows.narrow(axis, inner.shift - outer.shift, inner.length)
    return rows


class _Joined(torch.autograd.Function):
    """`joined`. A gradient is read at the windows of each of the rows."""

    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        second: Tensor | None,
        first_grid: Grid,
        second_grid: Grid | None,
        grid: Grid,
    ) -> Tensor:
        ctx.grid, ctx.grids = grid, (first_grid, second_grid)
        ctx.domains = len(first), 0 if second is None else len(second)
        reach = None if second_grid is None else second_grid.reach
        return fused_windows.joined(first, first_grid.reach, second, reach, grid.reach)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients: list[Tensor | None] = []
        for grid, domains in zip(ctx.grids, ctx.domains, strict=True):
            if grid is None:
                gradients.append(None)
                continue
            inside = fused_windows.joined(gradient, ctx.grid.reach, None, None, grid.reach)
            gradients.append(inside if len(inside) == domains else inside.sum(0, keepdim=True))
        return gradients[0], gradients[1], None, None, None
