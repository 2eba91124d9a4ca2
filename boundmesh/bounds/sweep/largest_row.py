"""Finds which rows start as windows, and how large the largest row of a sweep is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import product_of
from boundmesh.bounds.sweep.program import Program, RowSize, UnitRowPath
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.window_rows import smallest, total
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.window_grid import Grid
from boundmesh.operators.windows import Windows, unit_windows


def spatial_axes(shape: tuple[int, ...]) -> int:
    """Return how many of the last axes of a value `[1, C, *spatial]` are spatial; 0 if none is."""
    return len(shape) - 2 if len(shape) > 2 and shape[0] == 1 else 0


def one_by_one(node: Node) -> bool:
    """Return True if the node is elementwise: output i depends on input i alone."""
    alike = len(node.inputs) == 1 and node.shape == node.input_shapes[0]
    return alike and not RULES[node.op].mixes


def meets_at_zero(node: Node) -> bool:
    """Return True if an elementwise node has two linear pieces that meet at zero.

    Both lines of a stable neuron are then one of the pieces, without an intercept.
    """
    return RULES[node.op].slope_below is not None and one_by_one(node)


def windowed_row(program: Program, start: str, gradients: bool = False) -> int | None:
    """Return the most numbers that a unit row of `start` has during a sweep, if it is in windows.

    The result is None if no convolution is passed in windows, so that dense rows serve as well. It
    is found by a sweep of no rows, which needs only the shapes of the weights. If `gradients` is
    true, every nonlinear node must be one that `meets_at_zero`, and every product that passes
    windows must have the rule `forward_windows`.
    """
    if gradients and not all(_has_gradients(node) for node in program.order(start)):
        return None
    sizes = windowed_sizes(program, start)
    return None if sizes is None else max(sizes.values())


def _has_gradients(node: Node) -> bool:
    """Return True if gradients pass the node in windows, or if windows become dense there."""
    if node.is_input:
        return True
    operator = RULES[node.op]
    if not operator.affine:
        return meets_at_zero(node)
    by_hand = operator.product is None or operator.forward_windows is not None
    return by_hand or operator.pull_windows is None


def windowed_sizes(program: Program, start: str) -> Mapping[str, int] | None:
    """Return the most numbers of a unit row of `start` while it passes each node, by name.

    The result is None where `windowed_row` is.
    """
    path = _path(program, start)
    return None if path is None else {name: row_size.size for name, row_size in path.items()}


def forms(program: Program, tile: Tile, *, whole_stay: bool) -> set[tuple[str, bool]]:
    """Return the nodes that a tile passes, by name, and True where its rows lie in windows.

    `whole_stay` is true where rows stay windows when these have become the whole map.
    """
    path = _path(program, tile.start) if tile.windowed else None
    if path is None:
        return {(node.name, False) for node in program.order(tile.start)}
    return {
        (name, row_size.ruled if whole_stay else row_size.windowed)
        for name, row_size in path.items()
    }


def _path(program: Program, start: str) -> UnitRowPath | None:
    if start not in program.unit_row_paths:
        program.unit_row_paths[start] = _find_path(program, start)
    return program.unit_row_paths[start]


def _find_path(program: Program, start: str) -> UnitRowPath | None:
    node = program.graph[start]
    spatial = spatial_axes(node.shape)
    if not spatial:
        return None
    nothing = torch.empty(0)
    coefficients: dict[str, Tensor | Windows] = {
        start: unit_windows(nothing.long(), nothing, node.shape, spatial)
    }
    ruled, useful = {start: True}, False
    path: dict[str, RowSize] = {}
    for node in program.order(start):
        rows = coefficients.pop(node.name, None)
        if rows is None:
            continue
        size, windowed, ruled_here = _size(rows), isinstance(rows, Windows), ruled[node.name]
        passed = [] if node.is_input else _passed(program, node, rows)
        useful |= bool(passed) and product_of(node) is not None and isinstance(passed[0], Windows)
        for name, row in zip(node.inputs, passed, strict=False):
            coefficients[name] = smallest(
                total(coefficients[name], row) if name in coefficients else row
            )
            size = max(size, _size(row), _size(coefficients[name]))
            stay = isinstance(row, Windows) or (not windowed and ruled_here and _has_rule(node))
            ruled[name] = stay and ruled.get(name, True)
        path[node.name] = RowSize(size, windowed, ruled_here)
    return path if useful else None


def _has_rule(node: Node) -> bool:
    """Return True if windows stay windows when they pass a node."""
    operator = RULES[node.op]
    return operator.pull_windows is not None or (operator.relax is not None and one_by_one(node))


def _passed(program: Program, node: Node, rows: Tensor | Windows) -> list[Tensor | Windows]:
    """Pass a row without neurons through a node; dense rows are empty tensors `[1, 0, *shape]`."""
    operator = RULES[node.op]
    if isinstance(rows, Windows):
        if operator.relax is not None and one_by_one(node):
            return [rows]
        grid = None if operator.pulled_grid is None else operator.pulled_grid(node, rows)
        if grid is not None:
            return [_empty(grid, node.input_shapes[0])]
        # One element that is read everywhere has a weight's shape and takes no memory. Tensors on
        # the meta device would do, too, but their first use imports the compiler, 0.8 s.
        shapes = [program.graph.weights[name].shape for name in node.weights]
        weights = [torch.zeros(()).expand(shape) for shape in shapes]
        rule = operator.pull_windows
        pulled = None if rule is None else rule(node, weights, rows)
        if pulled is not None:
            return list(pulled.windows)
    return [torch.empty(1, 0, *shape) for shape in node.input_shapes]


def _empty(grid: Grid, shape: tuple[int, ...]) -> Windows:
    """Return windows of no rows in maps of a shape."""
    features = shape[: len(shape) - len(grid.spans)]
    return Windows(torch.empty(1, 0, *grid.window, math.prod(features)), grid, features)


def _size(rows: Tensor | Windows) -> int:
    shape = rows.coefficients.shape if isinstance(rows, Windows) else rows.shape
    return math.prod(shape[2:])
