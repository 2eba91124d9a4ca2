"""Convolutions of rows that are stored in windows: one matrix product and a sum of overlaps.

    y[b, s·i + d·k, o] += Σ_c x[b, i, c]·W[c, o, k]                    (`spread`)

This is a transposed convolution without padding, on windows with the features last. The padding of
the convolution is part of the windows' places. Every number is a plain sum of products, so the
bound γ·Σ|x|·|W| on its rounding holds on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.kernels import fused_collect, fused_spread, fused_windows, launcher
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.node import Node
from boundmesh.operators.window_grid import Grid, reach
from boundmesh.operators.windows import PulledWindows, Windows

MOST = 2**20
"""The most numbers that are written to memory at a time before overlaps are added up."""

MOST_ON_GPU = 2**24


def pull_conv_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull rows A back through a convolution; their bias is `⟨A, b⟩`.

    Returns None for a batch of several maps.
    """
    if len(windows.features) != 2 or windows.features[0] != 1:
        return None
    weight, shape = weights[0], node.input_shapes[0]
    kernel, rows = tuple(weight.shape[2:]), windows.coefficients
    grid = windows.grid.read_by(
        kernel, node["stride"], node["dilation"], node["padding"], shape[2:]
    )
    how = node["stride"], node["dilation"], node["groups"]
    front = windows.grid.left_out(grid, node["stride"], node["padding"])
    if not fused_windows.applies_without_gradients(rows):
        pulled = cropped(spread(rows, weight, *how), front, grid.window)
        _clear(pulled, grid.outside.unsqueeze(-1))
    elif fused_spread.applies(rows, weight, *how):
        pulled = fused_spread.spread(rows, weight, *how[:2], front, grid.window, grid.reach)
    else:
        pulled = spread_by_kernel(rows, weight, *how, front, grid)
    features = weights[1] if len(weights) > 1 else None
    return PulledWindows((Windows(pulled, grid, shape[:2]),), features=features)


def _clear(rows: Tensor, outside: Tensor) -> None:
    """Write zeros to the places that do not exist; multiplying by zero is faster on a CPU."""
    if launcher.on_cpu(rows) and not torch.is_grad_enabled():
        rows.mul_(outside.logical_not().to(rows.dtype))
    else:
        rows.masked_fill_(outside, 0)


def cropped(rows: Tensor, front: Sequence[int], window: Sequence[int]) -> Tensor:
    """Return `window` places of each axis of `[D, S, *reached, O]`, from the place `front` on."""
    for axis, (first, length) in enumerate(zip(front, window, strict=True), 2):
        rows = rows.narrow(axis, first, length)
    return rows


def conv_windows(
    node: Node, weights: Weights, values: Windows, grid: Grid, of_bias: Tensor | None
) -> Tensor:
    """Compute the gradients to rows in the windows `grid`, given those to what they are pulled to.

    They are the convolution of the values, plus `of_bias` `[D or 1, S]` times the bias. Values at
    places that do not exist count as zero. The windows are those of `pull_conv_windows`.
    """
    weight, rows = weights[0], values.coefficients
    front = grid.left_out(values.grid, node["stride"], node["padding"])
    bias = weights[1] if len(weights) > 1 and of_bias is not None else None
    how = node["stride"], node["dilation"]
    if fused_collect.applies(rows, weight, node["groups"]):
        factors = None if of_bias is None else of_bias.expand(len(rows), -1)
        there = values.grid.reach
        return fused_collect.collect(rows, weight, *how, front, grid.window, there, factors, bias)
    inside = rows.masked_fill(values.grid.outside.unsqueeze(-1), 0)
    if any(front):
        lengths = map(reach, grid.window, weight.shape[2:], *how)
        rest = [
            whole - first - length
            for whole, first, length in zip(lengths, front, values.grid.window, strict=True)
        ]
        pairs = reversed([*zip(front, rest, strict=True)])
        inside = functional.pad(inside, [0, 0, *(width for pair in pairs for width in pair)])
    x = inside.flatten(0, 1).movedim(-1, 1)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[x.dim() - 3]
    y = convolve(x, weight, None, node["stride"], 0, node["dilation"], node["groups"])
    result = y.movedim(1, -1).reshape(*rows.shape[:2], *y.shape[2:], y.shape[1])
    if of_bias is None or bias is None:
        return result
    return result + of_bias.reshape(*of_bias.shape, *(1,) * (result.dim() - 2)) * bias


def spread(
    rows: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Compute `[D, S, *window, C]` → `[D, S, *reached, O]` with W `[C, O/groups, *kernel]`.

    oneDNN computes it in float32 on a CPU, as sums of products, several times as fast.
    """
    domains, count, *window, channels = rows.shape
    if _by_library(rows):
        flat = rows.reshape(domains * count, *window, channels)
        found = _transposed(flat, weight, stride, dilation, groups)
        return found.reshape(domains, count, *found.shape[1:])
    kernel = tuple(weight.shape[2:])
    lengths = [
        reach(n, k, s, d) for n, k, s, d in zip(window, kernel, stride, dilation, strict=True)
    ]
    inputs = weight.shape[1] * groups
    out, places = rows.new_zeros(domains * count, *lengths, inputs), prod(window)
    if not rows.numel():
        return out.reshape(domains, count, *lengths, inputs)
    height = max(1, MOST // max(1, places * prod(kernel) * inputs))
    table = _table(weight, groups)
    flat = rows.reshape(domains * count, *window, channels)
    for part, whole in zip(flat.split(height), out.split(height), strict=True):
        columns = _columns(part.reshape(len(part) * places, channels), table)
        _fold(columns.reshape(len(part), *window, *kernel, inputs), whole, stride, dilation)
    return out.reshape(domains, count, *lengths, inputs)


def spread_by_kernel(
    rows: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    front: Sequence[int],
    grid: Grid,
    most: int = MOST_ON_GPU,
) -> Tensor:
    """Compute `spread` on a GPU, without the first `front` places of every axis.

    The result is zero at the places of `grid` that do not exist.
    """
    domains, count, *window, channels = rows.shape
    kernel, inputs, places = tuple(weight.shape[2:]), weight.shape[1] * groups, prod(window)
    out = rows.new_empty(domains, count, *grid.window, inputs)
    if not out.numel():
        return out
    table, flat = _table(weight, groups), rows.reshape(domains * count, places, channels)
    height = max(1, most // (places * prod(kernel) * inputs))
    for first in range(0, len(flat), height):
        part = flat[first : first + height]
        columns = _columns(part.reshape(len(part) * places, channels), table)
        columns = columns.reshape(len(part), -1)
        fused_windows.fold(columns, out, first, window, kernel, stride, dilation, front, grid.reach)
    return out


def _table(weight: Tensor, groups: int) -> Tensor:
    """Arrange W `[C, O/groups, *kernel]` as `[groups, C/groups, kernel, O/groups]`."""
    flat = weight.flatten(2)
    return flat.reshape(groups, len(flat) // groups, *flat.shape[1:]).transpose(2, 3)


def _by_library(rows: Tensor) -> bool:
    on_cpu = launcher.on_cpu(rows) and rows.dtype == torch.float32
    return on_cpu and rows.numel() > 0 and torch.backends.mkldnn.is_available()


def _transposed(
    rows: Tensor, weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int
) -> Tensor:
    """Compute `spread` of rows `[B, *window, C]` by the library; an axis of length 1 is added to a
    single one."""
    if len(stride) == 1:
        found = _transposed(
            rows.unsqueeze(1), weight.unsqueeze(2), (1, *stride), (1, *dilation), groups
        )
        return found.squeeze(1)
    x = rows.movedim(-1, 1)
    if len(stride) == 2:
        y = functional.conv_transpose2d(
            x, weight, stride=list(stride), groups=groups, dilation=list(dilation)
        )
    else:
        y = functional.conv_transpose3d(
            x, weight, stride=list(stride), groups=groups, dilation=list(dilation)
        )
    return y.movedim(1, -1).contiguous()


def _columns(rows: Tensor, table: Tensor) -> Tensor:
    """Multiply rows `[M, C]` with W `[groups, C/groups, kernel, O/groups]`: `[M, kernel, O]`."""
    groups, channels, kernel, outputs = table.shape
    if groups == 1:
        return torch.mm(rows, table[0].flatten(1))
    if channels == outputs == 1:
        return rows.unsqueeze(1) * table.reshape(groups, kernel).mT
    parts = torch.bmm(rows.unflatten(1, (groups, channels)).transpose(0, 1), table.flatten(2))
    by_kernel = parts.reshape(groups, len(rows), kernel, outputs).permute(1, 2, 0, 3)
    return by_kernel.reshape(len(rows), kernel, groups * outputs)


def _fold(columns: Tensor, out: Tensor, stride: Sequence[int], dilation: Sequence[int]) -> None:
    """Add columns `[B, *window, *kernel, O]` up in `out` `[B, *reached, O]`, which holds zeros.

    The axes are folded one after the other, from the last to the first.
    """
    axes = len(stride)
    for axis in reversed(range(axes)):
        last = columns.dim() - 2
        if axis:
            shape = [*columns.shape[: axis + 1], out.shape[axis + 1]]
            into = columns.new_zeros(*shape, *columns.shape[axis + 2 : last], columns.shape[-1])
        else:
            into = out
        reached = stride[axis] * (columns.shape[axis + 1] - 1) + 1
        for place in range(columns.shape[last]):
            first = place * dilation[axis]
            where = (slice(None),) * (axis + 1) + (slice(first, first + reached, stride[axis]),)
            into[where] += columns.select(last, place)
        columns = into
