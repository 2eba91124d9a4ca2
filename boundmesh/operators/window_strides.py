"""Rows in windows that are pulled back through operators which enlarge a map.

A transposed convolution computes the place `s·i + d·k − p` of its output from the place i of its
input. So a window that begins at a place a of the output needs the places of the input from
`⌈(a + p − d·(K − 1))/s⌉` on. Where a, modulo s, differs between the rows of a tile, their windows
begin at different distances from a multiple of s, and each row gets a place of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.operators.common_rules import Weights
from boundmesh.operators.node import Node
from boundmesh.operators.window_grid import Grid, Span
from boundmesh.operators.windows import PulledWindows, Windows


@dataclass(frozen=True)
class Axis:
    """How the windows of one axis of an output are computed from an input of `whole` places.

    stride  s, how far the outputs of neighbouring inputs lie apart
    extent  how many places of the output lie between the first and the last that an input reaches
    before  p, how many places in front of the output are cut off
    """

    stride: int
    extent: int
    before: int
    whole: int


def aligned(node: Node, windows: Windows, axes: Sequence[Axis]) -> tuple[Tensor, Grid]:
    """Return the rows `[D, S, *reached, C]` and the grid of the input's windows.

    A window of n places of the input reaches `s·(n − 1) + extent + 1` places of the output. The
    rows have these places, with zeros where they had none.
    """
    grid, rows = windows.grid, windows.coefficients
    steady = all(span.step % axis.stride == 0 for span, axis in zip(grid.spans, axes, strict=True))
    spans, places = [], []
    for dim, (span, axis) in enumerate(zip(grid.spans, axes, strict=True)):
        s = axis.stride
        first = span.shift + axis.before
        if steady:
            low, high = -(-(first - axis.extent) // s), (first + span.length - 1) // s
            if not span.step:
                low, high = max(low, 0), min(high, axis.whole - 1)
            high = max(low, high)  # A window between two outputs reaches none, and becomes zero.
            spans.append(Span(span.step // s, low, high - low + 1, axis.whole))
            rows = _after_zeros(rows, dim + 2, first - s * low, s * (high - low) + axis.extent + 1)
            continue
        begin = grid.places[:, dim] * span.step + first
        low_of = -torch.div(axis.extent - begin, s, rounding_mode="floor")
        count = (span.length - 1 + axis.extent) // s + 1
        spans.append(Span(1, 0, count, axis.whole))
        places.append(low_of)
        rows = _each_after_zeros(
            rows, dim + 2, begin - s * low_of, axis, s * (count - 1) + axis.extent + 1
        )
    if steady:
        return rows, grid.moved(spans)
    return rows, Grid(torch.stack(places, 1), tuple(spans), origin=node.name)


def _after_zeros(rows: Tensor, dim: int, zeros: int, length: int) -> Tensor:
    """Return rows with so many zeros in front along a dim, cut or extended to a length.

    A negative number of zeros cuts coefficients off, all of them where there are no more.
    """
    if -zeros >= rows.shape[dim] or zeros >= length:
        return rows.new_zeros(*rows.shape[:dim], length, *rows.shape[dim + 1 :])
    behind = length - zeros - rows.shape[dim]
    widths = [0, 0] * (rows.dim() - 1 - dim) + [zeros, behind]
    return functional.pad(rows, widths) if zeros or behind else rows


def _each_after_zeros(rows: Tensor, dim: int, zeros: Tensor, axis: Axis, length: int) -> Tensor:
    """Return rows with `zeros` `[S]` zeros in front, a number for each row."""
    found = None
    shape = [len(zeros) if d == 1 else 1 for d in range(rows.dim())]
    for number in range(axis.extent - axis.stride + 1, axis.extent + 1):
        moved = _after_zeros(rows, dim, number, length)
        here = (zeros == number).reshape(shape)
        found = torch.where(here, moved, 0) if found is None else torch.where(here, moved, found)
    assert found is not None
    return found


def pull_conv_transpose_windows(
    node: Node, weights: Weights, windows: Windows
) -> PulledWindows | None:
    """Pull windows back through a transposed convolution; None for a batch of several maps."""
    if len(windows.features) != 2 or windows.features[0] != 1:
        return None
    weight, (shape,) = weights[0], node.input_shapes
    axes = [
        Axis(stride, dilation * (kernel - 1), before, whole)
        for stride, dilation, kernel, (before, _), whole in zip(
            node["stride"], node["dilation"], weight.shape[2:], node["padding"], shape[2:],
            strict=True,
        )
    ]  # fmt: skip
    rows, grid = aligned(node, windows, axes)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(axes) - 1]
    x = rows.flatten(0, 1).movedim(-1, 1)
    y = convolve(x, weight, None, node["stride"], 0, node["dilation"], node["groups"])
    pulled = y.movedim(1, -1).unflatten(0, rows.shape[:2]).contiguous()
    pulled = pulled.masked_fill(grid.outside.unsqueeze(-1), 0)
    features = weights[1] if len(weights) > 1 else None
    return PulledWindows((Windows(pulled, grid, shape[:2]),), features=features)


def pull_gather_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull windows back through a gather of features, or one that repeats every place s times.

    Returns None for any other gather.
    """
    axis, index, (shape,) = node["axis"], node["index"], node.input_shapes
    wide = len(windows.features)
    rows, length = windows.coefficients, shape[axis]
    if axis < wide:
        places = torch.arange(length, device=rows.device)
        chosen = torch.tensor(index, device=rows.device).unsqueeze(1) == places
        parts = rows.unflatten(-1, windows.features).movedim(axis - wide, -1)
        summed = (parts @ chosen.to(rows.dtype)).movedim(-1, axis - wide).flatten(-wide)
        return PulledWindows((Windows(summed.contiguous(), windows.grid, shape[:wide]),))
    times, rest = divmod(len(index), length) if length else (0, 1)
    if rest or not times or index != tuple(place // times for place in range(len(index))):
        return None
    axes = [
        Axis(times if dim == axis else 1, times - 1 if dim == axis else 0, 0, whole)
        for dim, whole in enumerate(shape[wide:], wide)
    ]
    rows, grid = aligned(node, windows, axes)
    summed = rows.unflatten(axis - wide + 2, (-1, times)).sum(axis - wide + 3)
    summed = summed.masked_fill(grid.outside.unsqueeze(-1), 0)
    return PulledWindows((Windows(summed, grid, shape[:wide]),))
