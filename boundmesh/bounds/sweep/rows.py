"""Defines rows, the linear functions that a sweep bounds from below, and tiles, blocks of rows.

A sweep computes lower bounds only. An upper bound is minus the lower bound of the negated row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.node import Node
from boundmesh.operators.windows import Windows, unit_windows


@dataclass(frozen=True)
class UnitRows:
    """Rows of single neurons of a start node: row s is `sign[s]·e_index[s]`.

    index    `[S]`, flat indices of the neurons
    sign     `[S]`, 1 for a lower bound, −1 for an upper bound
    places   `[S]`, a copy of `index` in host memory
    spatial  how many of the last axes of the start node a sweep may divide into windows; with 0 its
             rows are dense
    """

    index: Tensor
    sign: Tensor
    places: np.ndarray
    spatial: int = 0

    @property
    def count(self) -> int:
        return len(self.index)

    def part(self, rows: slice) -> UnitRows:
        index, sign, places = self.index[rows], self.sign[rows], self.places[rows]
        return UnitRows(index, sign, places, self.spatial)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> UnitRows:
        """Return a copy in which `change` replaced the tensors; the copy in host memory stays."""
        return UnitRows(change(self.index), change(self.sign), self.places, self.spatial)

    def dense(self, node: Node) -> Tensor:
        """Write the coefficients out, `[1, S, *shape]`."""
        out = self.sign.new_zeros(self.count, node.size)
        return out.scatter(1, self.index[:, None], self.sign[:, None]).reshape(1, -1, *node.shape)

    def begin(self, node: Node) -> Tensor | Windows:
        """Write the coefficients out, in windows of one place each if `spatial` is not 0."""
        if not self.spatial:
            return self.dense(node)
        return unit_windows(self.index, self.sign, node.shape, self.spatial)


@dataclass(frozen=True)
class DenseRows:
    """Rows that store all their coefficients.

    coefficients  `[D or 1, S, *shape]`; with 1, all domains share the rows
    deviation     of the same shape: the largest distance of each coefficient from its exact value
                  (None: the coefficients are exact)
    """

    coefficients: Tensor
    deviation: Tensor | None = None

    @property
    def count(self) -> int:
        return self.coefficients.shape[1]

    def part(self, rows: slice) -> DenseRows:
        deviation = None if self.deviation is None else self.deviation[:, rows]
        return DenseRows(self.coefficients[:, rows], deviation)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> DenseRows:
        """Return a copy in which `change` replaced every tensor."""
        deviation = None if self.deviation is None else change(self.deviation)
        return DenseRows(change(self.coefficients), deviation)

    def dense(self, node: Node) -> Tensor:
        return self.coefficients

    def begin(self, node: Node) -> Tensor | Windows:
        return self.coefficients

    @property
    def negated(self) -> DenseRows:
        """The negated rows. Minus their lower bounds are upper bounds of these rows."""
        return DenseRows(-self.coefficients, self.deviation)

    @property
    def both_sides(self) -> DenseRows:
        """The rows, followed by the negated rows, `[D or 1, 2S, *shape]`."""
        off, coefficients = self.deviation, self.coefficients
        twice = None if off is None else torch.cat([off, off], dim=1)
        return DenseRows(torch.cat([coefficients, -coefficients], dim=1), twice)


Rows = UnitRows | DenseRows


@dataclass(frozen=True)
class Division:
    """A division of a tile's rows: into `parts`, each of at most `height` rows."""

    parts: int
    height: int


@dataclass(frozen=True)
class Tile:
    """A block of rows of one start node that a sweep pulls back at one time.

    start      the name of the start node
    span       where these rows stand among all rows of the start node
    rows       the rows
    divisions  how the rows are divided in front of some nodes, by name
    """

    start: str
    span: slice
    rows: Rows
    divisions: Mapping[str, Division] = field(default_factory=dict)

    @property
    def windowed(self) -> bool:
        """True if the rows start as windows."""
        return isinstance(self.rows, UnitRows) and self.rows.spatial > 0

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Tile:
        """Return a copy in which `change` replaced every tensor of the rows."""
        return Tile(self.start, self.span, self.rows.mapped(change), self.divisions)

    def part(self, rows: slice) -> Tile:
        """Return some of the rows as a tile of its own, which is not divided again."""
        first = self.span.start
        span = slice(first + rows.start, first + rows.stop)
        return Tile(self.start, span, self.rows.part(rows))


def units(index: Tensor, dtype: torch.dtype) -> UnitRows:
    """Create the rows for the lower bounds of the neurons `index` `[n]`."""
    return UnitRows(index, torch.ones(len(index), dtype=dtype, device=index.device), _places(index))


def both_sides(index: Tensor, dtype: torch.dtype) -> UnitRows:
    """Create two rows for each of the neurons `index` `[n]`: one for each of its bounds.

    The rows of a neuron follow each other, lower bound first. The rows of a tile therefore stand in
    few parts of a weight.
    """
    signs = torch.tensor([1, -1], dtype=dtype, device=index.device).repeat(len(index))
    return UnitRows(index.repeat_interleave(2), signs, np.repeat(_places(index), 2))


def of_both_sides(lower: Tensor, upper: Tensor) -> Tensor:
    """Convert lower and upper ends `[D, n]` to values of the rows of `both_sides`, `[D, 2n]`."""
    return torch.stack([lower, -upper], dim=-1).flatten(-2)


def ends(lowest: Tensor) -> tuple[Tensor, Tensor]:
    """Convert values of the rows of `both_sides`, `[D, 2n]`, to lower and upper ends `[D, n]`."""
    lower, upper = lowest.unflatten(-1, (-1, 2)).unbind(-1)
    return lower, -upper


def _places(index: Tensor) -> np.ndarray:
    return index.cpu().numpy()


def into_tiles(
    start: str,
    rows: Rows,
    height: int,
    divisions: Mapping[str, Division] | None = None,
    *,
    equal: bool = False,
) -> Sequence[Tile]:
    """Divide rows into tiles of `height` rows; the last tile may have fewer.

    If `equal` is true, the last of several tiles has `height` rows, too, and shares its first ones
    with the tile before.
    """
    last = max(0, rows.count - height) if equal else rows.count
    firsts = (min(first, last) for first in range(0, rows.count, height))
    spans = [slice(first, min(first + height, rows.count)) for first in firsts]
    return tuple(Tile(start, span, rows.part(span), divisions or {}) for span in spans)


def side_by_side(results: Sequence[Tensor], spans: Sequence[slice]) -> Tensor:
    """Return the results `[D, S]` of all rows, given those `[D, ·]` of tiles at `spans`, in order.

    Where two tiles share rows, their results are equal, and those of the first are taken.
    """
    covered, pieces = 0, []
    for result, span in zip(results, spans, strict=True):
        pieces.append(result[:, covered - span.start :])
        covered = span.stop
    return torch.cat(pieces, dim=1)
