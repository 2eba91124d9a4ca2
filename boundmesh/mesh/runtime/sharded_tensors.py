"""Gathers, cuts and adds tensors whose neurons lie on several ranks, with gradients.

All ranks must call each function together. The gradient to whole rows is whole on all ranks. The
gradient to a piece is that piece of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from boundmesh.mesh.runtime.group import Group
from boundmesh.operators.partition import Partition

ROWS = 2
"""How many dims of rows precede the axes of the value: the dims of domains and of rows."""


def gather_pieces(group: Group, piece: Tensor, dim: int, ends: Sequence[int]) -> Tensor:
    """All-gather a tensor from the ranks' pieces along `dim`; `ends` are the pieces' ends."""
    height = tallest(ends)
    sent = _filled(piece.movedim(dim, 0), height)
    gathered = sent.new_empty(group.size * height, *sent.shape[1:])
    group.all_gather(gathered, sent).wait()
    pieces = [
        gathered[rank * height : rank * height + ends[rank + 1] - ends[rank]]
        for rank in range(group.size)
    ]
    whole = gathered if ends[-1] == len(gathered) else torch.cat(pieces)
    return whole.movedim(0, dim)


def scatter_sum(
    group: Group, like: Tensor, columns: Partition, write: Callable[[slice, Tensor], object]
) -> Tensor:
    """Reduce-scatter matrices: add those of all ranks, and return this rank's columns of the sum.

    The matrices have as many rows as `like`. `write(columns, out)` writes some columns of this
    rank's matrix to `out`, a part of the send buffer, so that the matrix needs no other memory.
    """
    height = tallest(columns.ends)
    sent = like.new_empty(group.size, len(like), height)
    for rank, out in enumerate(sent):
        low, high = columns.span(rank)
        out[:, high - low :] = 0
        if low < high:
            write(slice(low, high), out[:, : high - low])
    piece = like.new_empty(len(like), height)
    group.reduce_scatter(piece, sent.flatten(0, 1)).wait()
    low, high = columns.span(group.rank)
    return piece[:, : high - low].contiguous()


class TakePiece(torch.autograd.Function):
    """Cuts this rank's piece from rows that all ranks hold whole."""

    @staticmethod
    def forward(ctx: Any, group: Group, cut: Partition, rows: Tensor) -> Tensor:
        ctx.group, ctx.cut = group, cut
        return cut.piece(rows, group.rank, ROWS)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        cut = ctx.cut
        return None, None, gather_pieces(ctx.group, gradient, cut.axis + ROWS, cut.ends)


class GatherWhole(torch.autograd.Function):
    """Gathers whole rows from the pieces of all ranks."""

    @staticmethod
    def forward(ctx: Any, group: Group, cut: Partition, rows: Tensor) -> Tensor:
        ctx.group, ctx.cut = group, cut
        return gather_pieces(group, rows, cut.axis + ROWS, cut.ends)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.cut.piece(gradient, ctx.group.rank, ROWS)


class Settled(torch.autograd.Function):
    """Returns `values`, which are equal on all ranks; gradients pass to `share` only."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def tallest(ends: Sequence[int]) -> int:
    """Return the length of the longest piece."""
    return max(high - low for low, high in pairwise(ends))


def _filled(values: Tensor, height: int) -> Tensor:
    if len(values) == height:
        return values.contiguous()
    filled = values.new_zeros(height, *values.shape[1:])
    filled[: len(values)] = values
    return filled
