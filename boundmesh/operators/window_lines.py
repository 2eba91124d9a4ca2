"""Rows in windows that are pulled back through the lines of an elementwise operator."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.inner_products import signed_product
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.window_sums import sums
from boundmesh.operators.windows import PulledWindows, Windows


def pull_window_lines(lines: Lines, windows: Windows) -> PulledWindows:
    """Pull rows back as `Lines.pull` does, with the lines read at the windows.

    The lines belong to one input of the same shape, and all rows share them.
    """
    ((below,), (above,)) = lines.lower_slopes, lines.upper_slopes
    rows = windows.coefficients
    bias = _signed_sums(windows, lines.lower_intercept, lines.upper_intercept)
    found = signed_product(rows, windows.read(below), windows.read(above))
    return PulledWindows((windows.with_coefficients(found),), bias)


def _signed_sums(windows: Windows, below: Tensor | None, above: Tensor | None) -> Tensor | None:
    """Return `⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`. None stands for zero."""
    rows = windows.coefficients
    if below is None:
        return None if above is None else sums(rows.clamp(max=0) * windows.read(above))
    if above is None:
        return sums(rows.clamp(min=0) * windows.read(below))
    values = torch.where(rows >= 0, windows.read(below), windows.read(above))
    return sums(values.mul_(rows))


def signed_inner_windows(windows: Windows, below: Tensor, above: Tensor) -> Tensor:
    """Return `⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]` for maps `[D or 1, 1, *shape]`."""
    result = _signed_sums(windows, below, above)
    assert result is not None
    return result
