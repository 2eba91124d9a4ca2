"""A few neurons of a map in the windows of rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from boundmesh.operators.windows import Windows


@dataclass(frozen=True)
class Neurons:
    """Where some neurons of a map stand in the windows of S rows.

    index    `[S · U]`, the place of each neuron among the coefficients of all rows; if it lies
             outside of the row's window, the place of another coefficient of the row
    outside  `[S, U]`, true where the neuron lies outside of the row's window
    """

    index: Tensor
    outside: Tensor


def find(windows: Windows, index: Tensor) -> Neurons:
    """Find the flat neurons `index` `[U]` of the map in the windows of rows."""
    grid, wide = windows.grid, windows.coefficients.shape[-1]
    feature = index.div(prod(grid.whole), rounding_mode="floor")
    rest = index - feature * prod(grid.whole)
    flat = torch.arange(grid.rows, device=index.device).unsqueeze(1)
    missing: Tensor | None = None
    for axis, span in enumerate(grid.spans):
        run = prod(grid.whole[axis + 1 :])
        place = rest.div(run, rounding_mode="floor")
        rest = rest - place * run
        along = place - (grid.places[:, axis, None] * span.step + span.shift)
        near = along.clamp(0, span.length - 1)
        out = near != along
        missing = out if missing is None else missing | out
        flat = flat * span.length + near
    assert missing is not None
    return Neurons((flat * wide + feature).flatten(), missing)


def at(windows: Windows, neurons: Neurons) -> Tensor:
    """Return the coefficients `[D or 1, S, U]` of neurons; zero outside of the windows."""
    found = windows.coefficients.flatten(1).index_select(1, neurons.index)
    return found.reshape(len(found), *neurons.outside.shape).masked_fill(neurons.outside, 0)


def with_neurons(windows: Windows, neurons: Neurons, values: Tensor) -> Windows:
    """Add values `[D or 1, S, U]` to the coefficients of neurons, where these are zero.

    Values of neurons outside of the windows count as zero.
    """
    values = values.masked_fill(neurons.outside, 0)
    flat = windows.coefficients.flatten(1)
    if len(values) > len(flat):
        flat = flat.expand(len(values), -1)
    # Every coefficient receives at most one value that is not zero, so the order of the
    # additions does not matter.
    total = flat.index_add(1, neurons.index, values.flatten(1))
    return windows.with_coefficients(total.reshape(len(total), *windows.coefficients.shape[1:]))
