"""Rows in windows that are pulled back through operators which move, join or drop neurons."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import EllipsisType

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.operators.common_rules import Weights
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.window_grid import Grid
from boundmesh.operators.windows import PulledWindows, Windows

Pairs = Sequence[tuple[int, int]]


def same_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    """Pull windows back through an operator that returns its input."""
    return PulledWindows((windows,))


def pull_reshape_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull windows back through a reshape of the features; None if it changes the map."""
    features = _features_of(node.input_shapes[0], windows)
    if features is None:
        return None
    return PulledWindows((Windows(windows.coefficients, windows.grid, features),))


def pull_transpose_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull windows back through a transpose of the features; None if it moves spatial axes."""
    wide, perm = len(windows.features), tuple(node["perm"])
    if perm[wide:] != tuple(range(wide, len(perm))):
        return None
    back = sorted(range(wide), key=perm.__getitem__)
    rows = by_feature(windows)
    first = rows.dim() - wide
    moved = rows.permute(*range(first), *(first + axis for axis in back)).flatten(first)
    features = node.input_shapes[0][:wide]
    return PulledWindows((Windows(moved.contiguous(), windows.grid, features),))


def pull_expand_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull windows back through repeated features, which are added up; None for repeated places."""
    wide = len(windows.features)
    if node.input_shapes[0][wide:] != node.shape[wide:]:
        return None
    pairs = enumerate(zip(node.input_shapes[0][:wide], windows.features, strict=True), -wide)
    repeated = [dim for dim, (old, new) in pairs if old != new]
    rows = by_feature(windows)
    summed = (rows.sum(repeated, keepdim=True) if repeated else rows).flatten(-wide)
    return PulledWindows((Windows(summed, windows.grid, node.input_shapes[0][:wide]),))


def pull_sum_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull windows back through a sum of features; None for a sum of places."""
    wide = len(windows.features)
    if any(axis >= wide for axis in node["axes"]):
        return None
    rows, features = by_feature(windows), node.input_shapes[0][:wide]
    spread = rows.expand(*rows.shape[: rows.dim() - wide], *features).flatten(-wide)
    return PulledWindows((Windows(spread, windows.grid, features),))


def pull_pad_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull windows back through padding of places; None for padding of features.

    Coefficients of the padding are removed, and times `value` form the bias.
    """
    wide = len(windows.features)
    if any(before or after for before, after in node["padding"][:wide]):
        return None
    (shape,) = node.input_shapes
    moved = placed(windows, node["padding"][wide:], shape[wide:])
    if node["value"] == 0:
        return PulledWindows((moved,))
    widths = [width for pair in reversed(node["padding"]) for width in pair]
    inside = windows.coefficients.new_zeros((1, 1, *shape))
    around = functional.pad(inside, widths, value=node["value"])
    return PulledWindows((moved,), windows.inner(windows.read(around)))


def pull_concat_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    """Pull windows back to each of the joined maps, along an axis of features or of space."""
    wide, axis = len(windows.features), node["axis"]
    lengths = [shape[axis] for shape in node.input_shapes]
    if axis < wide:
        parts = by_feature(windows).split(lengths, axis - wide)
        maps = zip(parts, node.input_shapes, strict=True)
        return PulledWindows(
            tuple(Windows(p.flatten(-wide), windows.grid, shape[:wide]) for p, shape in maps)
        )
    placed_parts, low = [], 0
    for shape, length in zip(node.input_shapes, lengths, strict=True):
        around = [(0, 0)] * (len(shape) - wide)
        around[axis - wide] = (low, node.shape[axis] - low - length)
        placed_parts.append(placed(windows, around, shape[wide:]))
        low += length
    return PulledWindows(tuple(placed_parts))


def pull_slice_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    """Pull windows back through a slice: coefficients return to their old places."""
    wide, (shape,) = len(windows.features), node.input_shapes
    steps = [
        range(length)[slice(*bounds)] for length, bounds in zip(shape, node["ranges"], strict=True)
    ]
    inner = steps[wide:]
    stride = [step_range.step for step_range in inner]
    rows = windows.coefficients
    if any(step > 1 for step in stride):
        lengths = [(n - 1) * step + 1 for n, step in zip(windows.grid.window, stride, strict=True)]
        spread = rows.new_zeros(*rows.shape[:2], *lengths, rows.shape[-1])
        apart = (slice(None, None, step) for step in stride)
        places: tuple[EllipsisType | slice, ...] = (..., *apart, slice(None))
        spread[places] = rows
        rows = spread
    around = [(-step_range.start, 0) for step_range in inner]
    moved = _moved(windows, rows, around, shape[wide:], stride)
    if shape[:wide] == windows.features:
        return PulledWindows((moved,))
    kept = torch.arange(prod(shape[:wide]), device=rows.device).reshape(shape[:wide])
    for axis, step_range in enumerate(steps[:wide]):
        index = torch.tensor(tuple(step_range), dtype=torch.long, device=rows.device)
        kept = kept.index_select(axis, index)
    inside = moved.coefficients
    all_features = inside.new_zeros(*inside.shape[:-1], prod(shape[:wide]))
    all_features = all_features.index_copy(inside.dim() - 1, kept.flatten(), inside)
    return PulledWindows((Windows(all_features, moved.grid, shape[:wide]),))


def placed(windows: Windows, around: Pairs, whole: Shape) -> Windows:
    """Return the rows at a part of their map of lengths `whole`.

    `around` holds how many places of the map lie before and after the part, along each axis.
    """
    return _moved(windows, windows.coefficients, around, whole, (1,) * len(whole))


def by_feature(windows: Windows) -> Tensor:
    """Return the coefficients with one dim for each axis of features, `[D, S, *window, *]`."""
    shape = windows.coefficients.shape[:-1]
    return windows.coefficients.reshape(*shape, *windows.features)


def _moved(
    windows: Windows, rows: Tensor, around: Pairs, whole: Shape, stride: Sequence[int]
) -> Windows:
    """Return rows whose place i moves to `stride·i − before`; those outside of a map are dropped.

    The coefficients in `rows` are `stride` places apart already.
    """
    ones = (1,) * len(whole)
    grid: Grid = windows.grid.read_by(ones, stride, ones, around, whole)
    for axis, (first, length) in enumerate(
        zip(windows.grid.left_out(grid, stride, around), grid.window, strict=True), 2
    ):
        rows = rows.narrow(axis, first, length)
    inside = rows.masked_fill(grid.outside.unsqueeze(-1), 0)
    return Windows(inside, grid, windows.features)


def _features_of(shape: Shape, windows: Windows) -> Shape | None:
    """Return the features of a value that has the same map at its end; None if it has not."""
    whole = windows.grid.whole
    features = shape[: len(shape) - len(whole)]
    alike = shape[len(features) :] == whole and prod(features) == prod(windows.features)
    return features if alike else None
