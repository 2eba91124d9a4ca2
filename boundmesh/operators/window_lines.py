"""Rows in windows that are pulled back through the lines of an elementwise operator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.kernels import fused_window_sums, fused_windows
from boundmesh.kernels.once import stored_table
from boundmesh.kernels.sums import added
from boundmesh.operators import window_blocks
from boundmesh.operators.inner_products import signed_product
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.window_neurons import at, find, meet, with_neurons
from boundmesh.operators.window_sums import sums
from boundmesh.operators.windows import PulledWindows, Windows


def pull_window_lines(lines: Lines, windows: Windows) -> PulledWindows:
    """Pull rows back as `Lines.pull` does, with the lines read at the windows.

    The lines belong to one input of the same shape, and all rows share them.
    """
    ((below,), (above,)) = lines.lower_slopes, lines.upper_slopes
    bias = _signed_sums(windows, lines.lower_intercept, lines.upper_intercept)
    if window_blocks.applies(windows):
        tables = (window_blocks.table_of(slopes, windows) for slopes in (below, above))
        coefficients = window_blocks.signed_product(windows, *tables)
    else:
        rows = windows.coefficients
        coefficients = signed_product(rows, windows.read(below), windows.read(above))
    return PulledWindows((windows.with_coefficients(coefficients),), bias)


class WindowRelaxation(ABC):
    """The linear bounds of an operator that is not elementwise, which windows can pass."""

    @abstractmethod
    def pull(self, rows: Tensor) -> Pulled:
        """Pull dense rows back, as `Relaxation.pull` does."""

    @abstractmethod
    def pull_windows(self, windows: Windows) -> PulledWindows | None:
        """Pull rows in windows back; None if they must be dense."""


@dataclass(frozen=True)
class SparseLines:
    """Lines of an elementwise operator, where only a few neurons have a line below and one above.

    At all other neurons both are the same line through zero.

    slopes   `[D, 1, *shape]`, the slope of the line through zero; zero at the few neurons
    index    `[U]`, flat indices of the few neurons
    overlay  their lines, with slopes `[D, 1 or S, U]`
    """

    slopes: Tensor
    index: Tensor
    overlay: Lines

    def pull(self, windows: Windows) -> PulledWindows:
        """Pull rows back: a few coefficients have lines of their own, the others one slope."""
        if window_blocks.applies(windows):
            return self._pull_on_cpu(windows)
        neurons = find(windows, self.index)
        at_neurons = self.overlay.pull(at(windows, neurons))
        scaled_rows = windows.with_coefficients(scaled(windows, self.slopes))
        return PulledWindows(
            (with_neurons(scaled_rows, neurons, at_neurons.only),), at_neurons.bias
        )

    def _pull_on_cpu(self, windows: Windows) -> PulledWindows:
        """Pull rows back; lines are looked up only where a neuron meets a window."""
        met, lines, count = meet(windows, self.index), self.overlay, windows.count
        at_neurons = windows.coefficients.flatten(1).index_select(1, met.place)
        up = at_neurons >= 0
        ((below,), (above,)) = lines.lower_slopes, lines.upper_slopes
        values = at_neurons * torch.where(
            up, met.of_lines(below, count), met.of_lines(above, count)
        )
        coefficients = scaled(windows, self.slopes)
        if len(coefficients) < len(values):
            coefficients = coefficients.repeat(len(values), *(1,) * (coefficients.dim() - 1))
        coefficients.flatten(1).index_copy_(1, met.place, values.expand(len(coefficients), -1))
        bias: Tensor | None = None
        for side, intercept in ((up, lines.lower_intercept), (~up, lines.upper_intercept)):
            if intercept is not None:
                # An intercept may be infinite, and must not meet the coefficients of the other.
                terms = torch.where(side, at_neurons * met.of_lines(intercept, count), 0)
                table = terms.new_zeros(len(terms), count * len(self.index))
                table.index_copy_(1, met.pair, terms)
                bias = added(bias, sums(table.unflatten(1, (count, len(self.index)))))
        return PulledWindows((windows.with_coefficients(coefficients),), bias)

    def pays(self, windows: Windows) -> bool:
        """Return True if `pull` takes less work than `pull_window_lines`, which reads all lines."""
        factor = 1 if window_blocks.applies(windows) else 4
        return factor * len(self.index) < prod(windows.coefficients.shape[2:])


def scaled(windows: Windows, factors: Tensor) -> Tensor:
    """Multiply coefficients by maps `[D or 1, 1, *shape]`, which have no gradient."""
    if torch.is_grad_enabled():
        result: Tensor = _Scaled.apply(windows.coefficients, windows, factors)
        return result
    return _scaled(windows, factors)


def _scaled(windows: Windows, factors: Tensor) -> Tensor:
    if window_blocks.applies(windows):
        return window_blocks.scaled(windows, window_blocks.table_of(factors, windows))
    return windows.read(factors) * windows.coefficients


class _Scaled(torch.autograd.Function):
    """`scaled`, which stores the maps for the gradient and not what is read from them."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, windows: Windows, factors: Tensor) -> Tensor:
        ctx.windows, ctx.factors = windows.with_coefficients(coefficients[:0]), factors
        ctx.domains = len(coefficients)
        return _scaled(windows.with_coefficients(coefficients), factors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scaled_gradient = _scaled(ctx.windows.with_coefficients(gradient), ctx.factors)
        return scaled_gradient.sum_to_size(ctx.domains, *scaled_gradient.shape[1:]), None, None


def _signed_sums(windows: Windows, below: Tensor | None, above: Tensor | None) -> Tensor | None:
    """Return `⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`. None stands for zero."""
    rows = windows.coefficients
    if window_blocks.applies(windows) and not (below is None and above is None):
        tables = [
            None if slopes is None else window_blocks.table_of(slopes, windows)
            for slopes in (below, above)
        ]
        return window_blocks.signed_sums(windows, *tables)
    if below is None:
        return None if above is None else sums(rows.clamp(max=0) * windows.read(above))
    if above is None:
        return sums(rows.clamp(min=0) * windows.read(below))
    values = torch.where(rows >= 0, windows.read(below), windows.read(above))
    return sums(values.mul_(rows))


def signed_inner_windows(windows: Windows, below: Tensor, above: Tensor) -> Tensor:
    """Return `⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]` for maps `[D or 1, (1,) *shape]`."""
    rows = windows.coefficients
    if fused_windows.applies_without_gradients(rows):
        tables = stored_table(below, windows.table), stored_table(above, windows.table)
        return fused_window_sums.signed_sums(rows, *tables, windows.grid.reach)
    result = _signed_sums(windows, below, above)
    assert result is not None
    return result
