"""Passes over rows in windows on a CPU, in blocks of rows that its caches hold.

What is read from a map at the windows is as large as the rows. Written to memory at once, it takes
several times as long as the arithmetic with it. A pass therefore reads, multiplies and adds up a
few rows at a time. Every row is computed by itself, so the blocks change no bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.operators.window_sums import sums
from boundmesh.operators.windows import Windows

BLOCK = 2**17
"""The most coefficients of a block: 512 KiB in float32, so that two such tensors fit a cache."""


@dataclass(frozen=True)
class RowBlock:
    """Some rows of a tile.

    rows          where they stand in the tile
    coefficients  `[D or 1, s, *window, C]`, a view
    positions     `[s · window]`, their flat places in the map, as `Grid.positions`
    """

    rows: slice
    coefficients: Tensor
    positions: Tensor

    def read(self, table: Tensor) -> Tensor:
        """Read a `table_of` a map at the windows, `[D or 1, s, *window, C]`, as a new tensor."""
        values = table.index_select(1, self.positions)
        return values.reshape(len(table), *self.coefficients.shape[1:])


def applies(windows: Windows) -> bool:
    """Return True if the passes of this file serve: on a CPU, where no gradient is recorded."""
    return launcher.on_cpu(windows.coefficients) and not torch.is_grad_enabled()


def table_of(values: Tensor, windows: Windows) -> Tensor:
    """Return maps `[D or 1, (1,) *shape]` with the features last, and a place more, which is zero.

    The result is `[D or 1, places + 1, C]`.
    """
    places, wide = prod(windows.grid.whole), prod(windows.features)
    table = values.new_zeros(len(values), places + 1, wide)
    table[:, :places] = values.reshape(len(values), wide, places).mT
    return table


def blocks(windows: Windows) -> Iterator[RowBlock]:
    """Divide rows into blocks of at most `BLOCK` coefficients, or of one row."""
    rows = windows.coefficients
    places = prod(windows.grid.window)
    height = max(1, BLOCK // max(1, len(rows) * places * rows.shape[-1]))
    for first in range(0, windows.count, height):
        last = min(first + height, windows.count)
        positions = windows.grid.positions[first * places : last * places]
        yield RowBlock(slice(first, last), rows[:, first:last], positions)


def scaled(windows: Windows, table: Tensor) -> Tensor:
    """Multiply coefficients by maps, given as their `table_of`."""
    results = _results(windows, len(table))
    for block in blocks(windows):
        torch.mul(block.read(table), block.coefficients, out=results[:, block.rows])
    return results


def magnitudes(windows: Windows, table: Tensor) -> Tensor:
    """Compute `⟨|A|, sizes⟩` `[D, S]` for sizes that are given as their `table_of`."""
    totals = _sums(windows, len(table))
    for block in blocks(windows):
        totals[:, block.rows] = sums(_product(block.read(table), block.coefficients).abs_())
    return totals


def signed_product(windows: Windows, below: Tensor, above: Tensor) -> Tensor:
    """Multiply coefficients ≥ 0 by the maps `below` and the others by `above`.

    Both are given as their `table_of`. One of the two products that are added is zero, so the sum
    is not rounded. Infinite values are selected instead, because 0·∞ is not a number.
    """
    results, finite = _results(windows, max(len(below), len(above))), _all_finite(below, above)
    for block in blocks(windows):
        if not finite:
            results[:, block.rows] = _selected(block, below, above)
            continue
        up, down = block.coefficients.clamp(min=0), block.coefficients.clamp(max=0)
        total = _product(block.read(below), up)
        torch.addcmul(total, block.read(above), down, out=results[:, block.rows])
    return results


def signed_sums(windows: Windows, below: Tensor | None, above: Tensor | None) -> Tensor:
    """Return `⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]` for maps that are given as their `table_of`.

    None stands for zero.
    """
    tables = [table for table in (below, above) if table is not None]
    totals, finite = _sums(windows, max(map(len, tables))), _all_finite(*tables)
    for block in blocks(windows):
        if not finite:
            totals[:, block.rows] = sums(_selected(block, below, above))
            continue
        total: Tensor | None = None
        if below is not None:
            total = _product(block.read(below), block.coefficients.clamp(min=0))
        if above is not None:
            down = block.coefficients.clamp(max=0)
            if total is None:
                total = _product(block.read(above), down)
            else:
                total = torch.addcmul(total, block.read(above), down)
        assert total is not None
        totals[:, block.rows] = sums(total)
    return totals


def _selected(block: RowBlock, below: Tensor | None, above: Tensor | None) -> Tensor:
    """Multiply coefficients ≥ 0 by `below` and the others by `above`; None stands for zero."""
    rows = block.coefficients
    low, high = (
        rows.new_zeros(()) if table is None else block.read(table) for table in (below, above)
    )
    return torch.where(rows >= 0, low, high) * rows


def _all_finite(*tables: Tensor) -> bool:
    return all(bool(table.isfinite().all()) for table in tables)


def _product(values: Tensor, rows: Tensor) -> Tensor:
    """Multiply values by rows, in the memory of the values if the result has their shape."""
    return values.mul_(rows) if len(values) >= len(rows) else values * rows


def _results(windows: Windows, domains: int) -> Tensor:
    rows = windows.coefficients
    return rows.new_empty(max(domains, len(rows)), *rows.shape[1:])


def _sums(windows: Windows, domains: int) -> Tensor:
    rows = windows.coefficients
    return rows.new_empty(max(domains, len(rows)), windows.count)
