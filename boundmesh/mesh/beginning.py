"""Where rows that are exchanged begin: a rank's coefficients of a tile at its start node."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.rows import DenseRows, Tile, UnitRows
from boundmesh.bounds.served import Part
from boundmesh.graph.graph import Node
from boundmesh.mesh.cut import Cut
from boundmesh.mesh.group import Group
from boundmesh.mesh.placement import product_cut
from boundmesh.mesh.tensor import ROWS


def dense(tile: Tile, node: Node, cut: Cut | None, rank: int) -> Tensor:
    """A rank's coefficients of a tile at its start node."""
    rows = tile.rows
    if cut is None:
        return rows.dense(node)
    if isinstance(rows, DenseRows):
        return cut.piece(rows.coefficients, rank, ROWS)
    return cut.piece(rows.dense(node), rank, ROWS)


def spread(group: Group, part: Part, rows: UnitRows, node: Node, inputs: Cut) -> Tensor:
    """This rank's inputs of all unit rows, `[1, S, *piece]`, by one all-to-all.

    Rank r has the rows of the weight for the units of its own outputs, and sends to each rank that
    one's run of them.
    """
    cut = product_cut(node, group.size)
    owner = np.searchsorted(np.asarray(cut.ends), rows.places, side="right") - 1
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=group.size)
    mine = torch.from_numpy(np.flatnonzero(owner == group.rank)).to(rows.index.device)
    own = part.weight[rows.index[mine] - part.low] * rows.sign[mine][:, None]
    runs = [slice(*inputs.span(rank)) for rank in range(group.size)]
    sent = torch.cat([own[:, run].flatten() for run in runs])
    wide = runs[group.rank].stop - runs[group.rank].start
    received = sent.new_empty(rows.count * wide)
    takes = [int(count) * wide for count in counts]
    gives = [len(own) * (run.stop - run.start) for run in runs]
    group.all_to_all(received, sent, takes, gives).wait()
    back = torch.from_numpy(np.argsort(order)).to(rows.index.device)
    piece = inputs.shape(node.input_shapes[0], group.rank)
    return received.reshape(rows.count, wide)[back].reshape(1, rows.count, *piece)
