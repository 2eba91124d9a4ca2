"""Rows: the linear functions that are to be bounded from below, and their tiles.

Only lower bounds are ever computed: an upper bound is minus the lower bound of the negated row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.graph import Node


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
    """Rows with all coefficients, `[D or 1, S, *shape]`; D = 1 is shared by all domains."""

    coefficients: Tensor

    @property
    def count(self) -> int:
        return self.coefficients.shape[1]

    def part(self, rows: slice) -> DenseRows:
        return DenseRows(self.coefficients[:, rows])

    def dense(self, node: Node) -> Tensor:
        return self.coefficients


Rows = UnitRows | DenseRows


@dataclass(frozen=True)
class Tile:
    """The rows `span` of all those asked of `start`, pulled back at one time."""

    start: str
    span: slice
    rows: Rows


def both_sides(index: Tensor, dtype: torch.dtype) -> UnitRows:
    """Rows for the lower bounds of the neurons `index`, then for their upper bounds (negated)."""
    ones = torch.ones(len(index), dtype=dtype, device=index.device)
    places = np.tile(index.cpu().numpy(), 2)
    return UnitRows(torch.cat([index, index]), torch.cat([ones, -ones]), places)


def cut(start: str, rows: Rows, height: int) -> Sequence[Tile]:
    """Cut rows into tiles of `height` rows; a function of network and memory, never of ranks."""
    spans = (slice(low, min(low + height, rows.count)) for low in range(0, rows.count, height))
    return tuple(Tile(start, span, rows.part(span)) for span in spans)
