"""The lines of maxima over windows of a map, and how rows are pulled back through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import fused_pools, fused_windows
from boundmesh.kernels.once import forbid_in_recording
from boundmesh.operators.inner_products import signed_inner, signed_product
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.unfolding import Places, elements, folded, unfolded
from boundmesh.operators.window_grid import Grid, reach
from boundmesh.operators.window_lines import WindowRelaxation, signed_inner_windows
from boundmesh.operators.window_neurons import at, find
from boundmesh.operators.window_products import cropped
from boundmesh.operators.windows import PulledWindows, Windows


def pulled_grid(node: Node, windows: Windows) -> Grid | None:
    """Return the windows of the places that the pool reads."""
    if len(windows.features) != 2:
        return None
    return windows.grid.read_by(
        node["kernel"], node["stride"], node["dilation"], node["padding"], node.input_shapes[0][2:]
    )


@dataclass(frozen=True)
class OpenMaxima:
    """The few maxima that bounds do not decide, with lines of their own.

    shared   `[D, 1, N, C, K, *counts]`, the slopes of the decided maxima, whose line below is that
             above and has no intercept; zero at the others
    index    `[U]`, the flat places of the others among all maxima
    inputs   `[K, U]`, the flat inputs that their elements are; 0 for elements of the padding
    lines    their lines, with slopes `[D, 1, K, U]`
    """

    shared: Tensor
    index: Tensor
    inputs: Tensor
    lines: Lines

    @cached_property
    def table(self) -> Tensor:
        """The shared slopes `[D, K, places, C]`, as the kernel takes them, for N = 1."""
        forbid_in_recording()
        by_element = self.shared.squeeze(2).squeeze(1).flatten(3).permute(0, 2, 3, 1)
        return by_element.contiguous()


@dataclass(frozen=True)
class PooledLines(WindowRelaxation):
    """The lines of all windows.

    node   the node
    lines  the lines of the maximum of each window, with slopes `[D, R, N, C, K, *counts]`, which
           are zero at the padding
    """

    node: Node
    lines: Lines

    def slopes_by_element(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the slopes below and above of each element of the kernel, `[D, R, N, C, *]`."""
        ((below,), (above,)) = self.lines.lower_slopes, self.lines.upper_slopes
        return zip(below.unbind(4), above.unbind(4), strict=True)

    @cached_property
    def open(self) -> OpenMaxima:
        """The maxima whose two lines differ, or have an intercept that is not zero."""
        ((below,), (above,)) = self.lines.lower_slopes, self.lines.upper_slopes
        forbid_in_recording()
        low, high = self.lines.lower_intercept, self.lines.upper_intercept
        assert low is not None and high is not None
        same = (below == above).all(4) & (low == 0) & (high == 0)
        index = (~same).flatten(1).any(0).nonzero().squeeze(1)
        everywhere = torch.zeros_like(same[0]).flatten().index_fill(0, index, True)
        shared = below.masked_fill(everywhere.reshape(same.shape[1:]).unsqueeze(3), 0)
        shape = self.node.input_shapes[0]
        inputs = torch.arange(prod(shape), device=below.device).reshape(1, *shape)
        elements_of = unfolded(self.node, inputs, 0).movedim(3, 0).flatten(1)[:, index]

        def open_slopes(slopes: Tensor) -> Tensor:
            return slopes.movedim(4, 2).flatten(3)[..., index]

        def open_intercepts(intercept: Tensor) -> Tensor:
            return intercept.flatten(2)[..., index]

        lines = Lines(
            (open_slopes(below),),
            (open_slopes(above),),
            open_intercepts(low),
            open_intercepts(high),
        )
        return OpenMaxima(shared, index, elements_of, lines)

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows `[D, S, *shape]` back; what windows that overlap pass to an input adds up."""
        bias = signed_inner(rows, self.lines.lower_intercept, self.lines.upper_intercept)
        parts = (signed_product(rows, below, above) for below, above in self.slopes_by_element())
        return Pulled((folded(self.node, parts),), bias)

    def pull_windows(self, windows: Windows) -> PulledWindows | None:
        """Pull rows in windows back; None if rows have lines of their own, or gradients pass."""
        grid = pulled_grid(self.node, windows)
        (below,) = self.lines.lower_slopes
        if grid is None or below.shape[1] > 1 or torch.is_grad_enabled():
            return None
        if fused_windows.applies_without_gradients(windows.coefficients):
            # Larger windows read this table, and they may be recorded (`kernels/once.py`).
            _ = self.open.table
        kernel = prod(self.node["kernel"])
        if kernel * len(self.open.index) <= prod(windows.coefficients.shape[2:]):
            return self._apart(windows, grid)
        low, high = self.lines.lower_intercept, self.lines.upper_intercept
        assert low is not None and high is not None
        out, places = self._empty(windows)
        for place, slopes in zip(places, self.slopes_by_element(), strict=True):
            lower, upper = map(windows.read, slopes)
            out[place] += signed_product(windows.coefficients, lower, upper)
        found = self._found(windows, grid, out)
        return PulledWindows((found,), signed_inner_windows(windows, low, high))

    def _apart(self, windows: Windows, grid: Grid) -> PulledWindows:
        """Pull rows back by the slopes of decided maxima, and add what the others pass."""
        rows, maxima = windows.coefficients, self.open
        if fused_windows.applies_without_gradients(rows):
            node = self.node
            front = windows.grid.left_out(grid, node["stride"], node["padding"])
            kernel = node["kernel"], node["stride"], node["dilation"]
            out = fused_pools.pooled(
                rows, maxima.table, *kernel, front, windows.grid.reach, grid.reach
            )
            found = Windows(out, grid, node.input_shapes[0][:2])
        else:
            out, places = self._empty(windows)
            for place, slopes in zip(places, maxima.shared.unbind(4), strict=True):
                values = _same_for_all(slopes) if windows.grid.full else windows.read(slopes)
                out[place].addcmul_(rows, values)
            found = self._found(windows, grid, out)
        if not len(maxima.index):
            return PulledWindows((found,))
        at_windows = at(windows, find(windows, maxima.index))
        neurons = find(found, maxima.inputs.flatten())
        flat = found.coefficients.flatten(1)
        shape = windows.count, *maxima.inputs.shape
        targets, outside = (each.reshape(shape) for each in (neurons.index, neurons.outside))
        ((below,), (above,)) = maxima.lines.lower_slopes, maxima.lines.upper_slopes
        for k in range(len(maxima.inputs)):
            passed = signed_product(at_windows, below[:, :, k], above[:, :, k])
            passed = passed.masked_fill(outside[:, k], 0)
            # No two of these maxima read one input at the same place of the kernel, so at most one
            # value that is not zero is added to a coefficient, and the order does not matter.
            flat.index_add_(1, targets[:, k].flatten(), passed.flatten(1))
        bias = signed_inner(at_windows, maxima.lines.lower_intercept, maxima.lines.upper_intercept)
        whole = found.with_coefficients(flat.reshape(found.coefficients.shape))
        return PulledWindows((whole,), bias)

    def _empty(self, windows: Windows) -> tuple[Tensor, Iterator[Places]]:
        """Return zeros `[D, S, *reached, C]`, and where each element of the kernel stands there."""
        node, rows, lengths = self.node, windows.coefficients, windows.grid.window
        axes = zip(lengths, node["kernel"], node["stride"], node["dilation"], strict=True)
        (below,) = self.lines.lower_slopes
        domains = max(len(rows), len(below))
        reached = [reach(*axis) for axis in axes]
        out = rows.new_zeros(domains, windows.count, *reached, rows.shape[-1])
        return out, elements(node, lengths, after=1)

    def _found(self, windows: Windows, grid: Grid, out: Tensor) -> Windows:
        """Return the rows without places in front of the map that no row stores."""
        front = windows.grid.left_out(grid, self.node["stride"], self.node["padding"])
        found = cropped(out, front, grid.window).contiguous()
        return Windows(found, grid, self.node.input_shapes[0][:2])


def _same_for_all(slopes: Tensor) -> Tensor:
    """Return maps `[D, 1, N, C, *counts]` as `[D, 1, *counts, C]`, for N = 1."""
    return slopes.squeeze(2).movedim(2, -1)
