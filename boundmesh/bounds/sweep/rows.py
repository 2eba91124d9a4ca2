"""Rows: the linear functions that are to be bounded from below, and their tiles.

Only lower bounds are ever computed: an upper bound is minus the lower bound of the negated row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.node import Node


@dataclass(frozen=True)
class UnitRows:
    """Rows `sign[s]·e_index[s]` of the flat neurons of a start node; index, sign of shape `[S]`.

    `places` is `index` in host memory.
    """

    index: Tensor
    sign: Tensor
    places: np.ndarray

    @property
    def count(self) -> int:
        return len(self.index)

    def part(self, rows: slice) -> UnitRows:
        return UnitRows(self.index[rows], self.sign[rows], self.places[rows])

    def dense(self, node: Node) -> Tensor:
        """The coefficients written out, `[1, S, *shape]`."""
        out = self.sign.new_zeros(self.count, node.size)
        return out.scatter(1, self.index[:, None], self.sign[:, None]).reshape(1, -1, *node.shape)


@dataclass(frozen=True)
class DenseRows:
    """Rows with all coefficients, `[D or 1, S, *shape]`; D = 1 is shared by all domains.

    `deviation`, of the same shape, is how far each may lie from the one that was asked for (None:
    not at all).
    """

    coefficients: Tensor
    deviation: Tensor | None = None

    @property
    def count(self) -> int:
        return self.coefficients.shape[1]

    def part(self, rows: slice) -> DenseRows:
        deviation = None if self.deviation is None else self.deviation[:, rows]
        return DenseRows(self.coefficients[:, rows], deviation)

    def dense(self, node: Node) -> Tensor:
        return self.coefficients

    @property
    def negated(self) -> DenseRows:
        """The rows with the other sign, whose lower bounds are upper ones of these."""
        return DenseRows(-self.coefficients, self.deviation)

    @property
    def both_sides(self) -> DenseRows:
        """The rows, then the negated ones."""
        off, coefficients = self.deviation, self.coefficients
        twice = None if off is None else torch.cat([off, off], dim=1)
        return DenseRows(torch.cat([coefficients, -coefficients], dim=1), twice)


Rows = UnitRows | DenseRows


@dataclass(frozen=True)
class Tile:
    """The rows `span` of all those asked of `start`, pulled back at one time."""

    start: str
    span: slice
    rows: Rows


def units(index: Tensor, dtype: torch.dtype) -> UnitRows:
    """Rows for the lower bounds of the neurons `index`."""
    return UnitRows(index, torch.ones(len(index), dtype=dtype, device=index.device), _places(index))


def both_sides(index: Tensor, dtype: torch.dtype) -> UnitRows:
    """Two rows for each of the neurons `index` in turn: for its lower bound, and, negated, for its
    upper bound. So the rows of a tile stand in few parts of a weight."""
    signs = torch.tensor([1, -1], dtype=dtype, device=index.device).repeat(len(index))
    return UnitRows(index.repeat_interleave(2), signs, np.repeat(_places(index), 2))


def of_both_sides(lower: Tensor, upper: Tensor) -> Tensor:
    """What belongs to rows of `both_sides`, `[D, 2n]`, from lower and upper ends `[D, n]`."""
    return torch.stack([lower, -upper], dim=-1).flatten(-2)


def ends(lowest: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper ends `[D, n]` from what belongs to rows of `both_sides`, `[D, 2n]`."""
    lower, upper = lowest.unflatten(-1, (-1, 2)).unbind(-1)
    return lower, -upper


def _places(index: Tensor) -> np.ndarray:
    return index.cpu().numpy()


def into_tiles(start: str, rows: Rows, height: int) -> Sequence[Tile]:
    """Cut rows into tiles of `height` rows; a function of network and memory, never of ranks."""
    spans = (slice(low, min(low + height, rows.count)) for low in range(0, rows.count, height))
    return tuple(Tile(start, span, rows.part(span)) for span in spans)
