"""Rows that are zero outside of a window of a map.

`Windows` stores the coefficients in the window alone. The maps have the shape
`(*features, *spatial)`. Coefficients are stored with the features last, so that a convolution is
one matrix product, and a read copies runs of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.kernels import fused_window_sums, fused_windows, launcher
from boundmesh.kernels.sums import Collected, added
from boundmesh.operators.node import Shape
from boundmesh.operators.rounding import CHUNK
from boundmesh.operators.window_grid import Grid, Span
from boundmesh.operators.window_joins import added_windows, joined
from boundmesh.operators.window_sums import sums


@dataclass(frozen=True)
class Windows:
    """The coefficients of S rows in their windows.

    coefficients  `[D or 1, S, *window, C]` with C = prod(features); zero at the places that do not
                  exist
    grid          where the windows lie
    features      the axes of the map before the spatial ones, which windows contain whole
    """

    coefficients: Tensor
    grid: Grid
    features: Shape

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.coefficients.shape[1]

    @property
    def shape(self) -> Shape:
        """The shape of the map."""
        return (*self.features, *self.grid.whole)

    def with_coefficients(self, coefficients: Tensor) -> Windows:
        return Windows(coefficients, self.grid, self.features)

    def part(self, rows: slice) -> Windows:
        """Return some of the rows, as a view."""
        return Windows(self.coefficients[:, rows], self.grid.part(rows), self.features)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Windows:
        """Return a copy in which `change` replaced every tensor."""
        return Windows(change(self.coefficients), self.grid.mapped(change), self.features)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Windows:
        """Return the same rows on another device, or in another type."""
        grid = Grid(self.grid.places.to(device), self.grid.spans, origin=self.grid.origin)
        return Windows(self.coefficients.to(device, dtype), grid, self.features)

    def table(self, values: Tensor) -> Tensor:
        """Return maps `[D or 1, (1,) *shape]` with the features last, `[D or 1, places, C]`."""
        wide, places = prod(self.features), prod(self.grid.whole)
        return values.reshape(len(values), wide, places).mT.contiguous()

    def inner(self, values: Tensor) -> Tensor:
        """Return `⟨A, values⟩` `[D, S]`; values broadcast to the coefficients."""
        return sums(self.coefficients * values)

    def collect(self, before: Collected, features: Tensor | None = None) -> Collected:
        """Count what is due, and add `⟨A, features⟩` for features `[C]` to the bias."""
        rows, reach = self.coefficients, self.grid.reach
        if fused_windows.applies_without_gradients(rows):
            return fused_window_sums.row_sums(rows, reach, features, before)
        if before.due is not None:
            with torch.no_grad():
                before = fused_window_sums.row_sums(rows.detach(), reach, None, before)
        if features is None:
            return before
        return Collected(added(before.bias, self.inner_features(features)), before.error)

    def inner_features(self, values: Tensor) -> Tensor:
        """Return `⟨A, values⟩` `[D, S]` for values `[C]` that are the same at all places."""
        places, wide = prod(self.grid.window), self.coefficients.shape[-1]
        if max(places, wide) > CHUNK or not launcher.on_cpu(self.coefficients):
            return self.inner(values)
        # A number passes at most `wide + places` roundings, which is no more than `sums` counts,
        # because (CHUNK - wide)·(CHUNK - places) ≥ 0.
        at_places = torch.matmul(self.coefficients, values)
        return at_places.flatten(2).sum(2)

    def dense(self) -> Tensor:
        """Write the coefficients out, `[D or 1, S, *shape]`."""
        if torch.is_grad_enabled():
            result: Tensor = _WriteOut.apply(self.coefficients, self)
            return result
        return self._dense(self.coefficients)

    def _dense(self, coefficients: Tensor) -> Tensor:
        maps = self._written_out(coefficients).movedim(-1, 2)
        # Sums over dense rows would copy coefficients that lie in another order.
        return maps.reshape(len(coefficients), self.count, *self.shape).contiguous()

    def _written_out(self, coefficients: Tensor) -> Tensor:
        """Write coefficients to all places of the map, `[D or 1, S, places, C]`."""
        sources, outside = self.grid.sources
        flat = coefficients.flatten(1, -2)
        if not flat.shape[1]:
            return flat.new_zeros(len(flat), *outside.shape, flat.shape[2])
        maps: Tensor = flat.index_select(1, sources).unflatten(1, outside.shape)
        return maps.masked_fill_(outside.unsqueeze(2), 0)

    def cut(self, rows: Tensor) -> Tensor:
        """Return the coefficients that dense rows `[D, S, *shape]` have in the windows."""
        places = prod(self.grid.whole)
        wide = self.coefficients.shape[-1]
        table = rows.reshape(len(rows), self.count, wide, places).mT.flatten(1, 2)
        window = self.grid.positions.reshape(self.count, prod(self.grid.window))
        missing = window == places
        row_start = torch.arange(self.count, device=rows.device).unsqueeze(1) * places
        inside = table.index_select(1, (window.masked_fill(missing, 0) + row_start).flatten())
        inside = inside.unflatten(1, window.shape).masked_fill_(missing.unsqueeze(-1), 0)
        return torch.reshape(inside, (len(rows), *self.coefficients.shape[1:]))

    def read(self, values: Tensor) -> Tensor:
        """Read maps `[D or 1, 1, *shape]` at the windows, `[D or 1, S, *window, C]`.

        The result is zero at the places that do not exist.
        """
        table = values.reshape(len(values), prod(self.features), prod(self.grid.whole)).mT
        table = torch.cat([table, table.new_zeros(len(table), 1, table.shape[2])], 1)
        windows = table.index_select(1, self.grid.positions)
        return windows.reshape(len(values), *self.coefficients.shape[1:])

    def plus(self, other: Windows) -> Windows | None:
        """Add rows of the same map; None if no window of one size contains both.

        The windows of both must be counted from the same origin, or be whole maps.
        """
        if self.grid.origin != other.grid.origin and not (self.grid.full and other.grid.full):
            return None
        if self.grid.spans == other.grid.spans:
            return self.with_coefficients(self.coefficients + other.coefficients)
        spans = [a.joined(b) for a, b in zip(self.grid.spans, other.grid.spans, strict=True)]
        common = tuple(span for span in spans if span is not None)
        if len(common) < len(spans):
            return None
        grid = self.grid.moved(common)
        total = added_windows(self.coefficients, self.grid, other.coefficients, other.grid, grid)
        return Windows(total, grid, self.features)

    def filled(self) -> Windows:
        """Return the same rows in windows that are the whole map."""
        if fused_windows.applies(self.coefficients):
            grid = self.grid.filled()
            maps = joined(self.coefficients, self.grid, None, None, grid)
            return Windows(maps, grid, self.features)
        maps = self._written_out(self.coefficients)
        maps = maps.reshape(*maps.shape[:2], *self.grid.whole, maps.shape[-1])
        return Windows(maps, self.grid.filled(), self.features)


@dataclass(frozen=True)
class PulledWindows:
    """Rows in windows after they were pulled back through one operator.

    windows   one per input of the operator
    bias      `[D, S]`, a constant that the operator adds to each row; None stands for zero
    features  `[C]`, a constant that the operator adds to its result at every place: it adds
              `⟨A, features⟩` to each row A; None stands for zero
    """

    windows: tuple[Windows, ...]
    bias: Tensor | None = None
    features: Tensor | None = None

    def all_bias(self, rows: Windows) -> Tensor | None:
        """Return all that the operator adds to each of `rows`, `[D, S]`."""
        return rows.collect(Collected(self.bias), self.features).bias


def unit_windows(index: Tensor, sign: Tensor, shape: Shape, spatial: int) -> Windows:
    """Create the rows `sign[s]·e_index[s]` of a map whose last `spatial` axes are spatial."""
    features, whole = shape[:-spatial], shape[-spatial:]
    places = []
    rest = index
    for length in reversed(whole):
        places.append(rest % length)
        rest = rest // length
    grid = Grid(torch.stack(places[::-1], 1), tuple(Span(1, 0, 1, length) for length in whole))
    wide = prod(features)
    coefficients = sign.new_zeros(len(index), wide).scatter(1, rest[:, None], sign[:, None])
    ones = (1,) * spatial
    return Windows(coefficients.reshape(1, len(index), *ones, wide), grid, features)


class _WriteOut(torch.autograd.Function):
    """`Windows.dense`. Its gradient is cut at the windows."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, windows: Windows) -> Tensor:
        ctx.windows = windows.with_coefficients(coefficients[:0])
        return windows._dense(coefficients)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.windows.cut(gradient), None
