"""Finds a few neurons of a map in the windows of rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from boundmesh.operators.node import Shape
from boundmesh.operators.windows import Windows


@dataclass(frozen=True)
class WindowNeurons:
    """Where some neurons of a map stand in the windows of S rows.

    index    `[S · U]`, the place of each neuron among the coefficients of all rows; if it lies
             outside of the row's window, the place of another coefficient of the row
    outside  `[S, U]`, true where the neuron lies outside of the row's window
    """

    index: Tensor
    outside: Tensor


def find(windows: Windows, index: Tensor) -> WindowNeurons:
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
    return WindowNeurons((flat * wide + feature).flatten(), missing)


def at(windows: Windows, neurons: WindowNeurons) -> Tensor:
    """Return the coefficients `[D or 1, S, U]` of neurons; zero outside of the windows."""
    coefficients = windows.coefficients.flatten(1).index_select(1, neurons.index)
    return coefficients.reshape(len(coefficients), *neurons.outside.shape).masked_fill(
        neurons.outside, 0
    )


def with_neurons(windows: Windows, neurons: WindowNeurons, values: Tensor) -> Windows:
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


@dataclass(frozen=True)
class Met:
    """The neurons of a map that stand in the windows of S rows, one by one.

    pair    `[K]`, the row and the neuron, as `row·U + neuron` where `neuron` counts the U neurons
    neuron  `[K]`, the neuron
    place   `[K]`, the place of the neuron among the coefficients of all rows
    """

    pair: Tensor
    neuron: Tensor
    place: Tensor

    def of_lines(self, lines: Tensor, rows: int) -> Tensor:
        """Return values `[D, K]` of lines `[D, 1 or S, U]` of the U neurons."""
        shared = lines.shape[1] == 1 or rows == 1
        return lines.flatten(1).index_select(1, self.neuron if shared else self.pair)


def meet(windows: Windows, index: Tensor) -> Met:
    """Find the neurons `index` `[U]` of the map that stand in the windows of rows.

    Few neurons do, so the others are sorted out by comparisons of single bytes.
    """
    grid, wide, size = windows.grid, windows.coefficients.shape[-1], prod(windows.grid.whole)
    along = _along_axes(index % size, grid.whole)
    inside: Tensor | None = None
    for axis, (span, place) in enumerate(zip(grid.spans, along, strict=True)):
        row_places = grid.places[:, axis]
        least, most = (int(row_places.min()), int(row_places.max())) if len(row_places) else (0, -1)
        first = torch.arange(least, most + 1, device=row_places.device).unsqueeze(1) * span.step
        first = first + span.shift
        here = ((place >= first) & (place < first + span.length)).index_select(
            0, row_places - least
        )
        inside = here if inside is None else inside.logical_and_(here)
    assert inside is not None
    pair = inside.flatten().nonzero().squeeze(1)
    row = pair.div(max(1, len(index)), rounding_mode="floor")
    neuron = pair - row * len(index)
    flat = row
    for axis, (span, place) in enumerate(zip(grid.spans, along, strict=True)):
        first = grid.places[:, axis] * span.step + span.shift
        near = place.index_select(0, neuron) - first.index_select(0, row)
        flat = flat * span.length + near
    feature = index.div(size, rounding_mode="floor").index_select(0, neuron)
    return Met(pair, neuron, flat * wide + feature)


def _along_axes(places: Tensor, whole: Shape) -> list[Tensor]:
    """Return the places along each axis of flat places in a map."""
    along = []
    for length in reversed(whole):
        along.append(places % length)
        places = places.div(length, rounding_mode="floor")
    return along[::-1]
