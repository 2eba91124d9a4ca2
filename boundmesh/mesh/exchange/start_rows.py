"""A rank's coefficients of a tile at its start node, under the schedule `exchange`."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import Part
from boundmesh.bounds.sweep.rows import Tile, UnitRows
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.sharded_tensors import ROWS, scatter_sum
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition


def dense(tile: Tile, node: Node, cut: Partition | None, rank: int) -> Tensor:
    """Return a rank's coefficients of a tile at its start node (all of them without a cut)."""
    rows = tile.rows.dense(node)
    return rows if cut is None else cut.piece(rows, rank, ROWS)


def unit_row_pieces(
    group: Group, part: Part, rows: UnitRows, node: Node, inputs: Partition
) -> Tensor:
    """Pull unit rows back to this rank's inputs, `[1, S, *piece]`, by one reduce-scatter.

    Each rank contributes the rows of its shard of the weight for neurons among its own outputs, and
    zeros for others. Which neurons these are is computed on the device, without the host.
    """
    place, count = rows.index - part.low, len(part.weight)
    sign = (rows.sign * ((place >= 0) & (place < count)))[:, None]
    place = place.clamp(0, count - 1)

    def write(columns: slice, out: Tensor) -> None:
        torch.mul(part.weight[:, columns].index_select(0, place), sign, out=out)

    piece = scatter_sum(group, sign, inputs, write)
    return piece.reshape(1, rows.count, *inputs.shape(node.input_shapes[0], group.rank))
