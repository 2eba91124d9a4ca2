"""Rows whose neurons lie on several ranks: products, pieces and sums, with their gradients.

Every function is run by all ranks together. A gradient to rows that all ranks have whole is whole
on all ranks; one to a piece is that piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from boundmesh.graph.graph import Node
from boundmesh.mesh.cut import Cut
from boundmesh.mesh.group import Group
from boundmesh.rules import RULES, linear, matmul

ROWS = 2
"""Dims of rows before the axes of the value: domains and rows."""


def gather_pieces(group: Group, mine: Tensor, dim: int, ends: Sequence[int]) -> Tensor:
    """All of a tensor, from the pieces along `dim` that the ranks have."""
    height = tallest(ends)
    sent = _filled(mine.movedim(dim, 0), height)
    every = sent.new_empty(group.size * height, *sent.shape[1:])
    group.all_gather(every, sent).wait()
    pieces = [
        every[rank * height : rank * height + ends[rank + 1] - ends[rank]]
        for rank in range(group.size)
    ]
    whole = every if ends[-1] == len(every) else torch.cat(pieces)
    return whole.movedim(0, dim)


def scatter_sum(group: Group, whole: Tensor, dim: int, ends: Sequence[int]) -> Tensor:
    """This rank's piece along `dim` of the sum of what all ranks have, in row-major order."""
    height, first = tallest(ends), whole.movedim(dim, 0)
    if ends[-1] == group.size * height:
        sent = first.contiguous()
    else:
        sent = whole.new_zeros(group.size * height, *first.shape[1:])
        for rank in range(group.size):
            piece = first[ends[rank] : ends[rank + 1]]
            sent[rank * height : rank * height + len(piece)] = piece
    mine = sent.new_empty(height, *sent.shape[1:])
    group.reduce_scatter(mine, sent).wait()
    low, high = ends[group.rank], ends[group.rank + 1]
    return mine[: high - low].movedim(0, dim).contiguous()


@dataclass(frozen=True)
class Product:
    """A rank's part of a product: the node with this rank's outputs alone, their weight, and how
    the input is cut (None: every rank has all of it)."""

    node: Node
    weight: Tensor
    inputs: Cut | None

    def pull(self, rows: Tensor) -> Tensor:
        """What this rank's outputs alone pull back to, `[D, S, *input_shape]`."""
        if self.empty:
            return rows.new_zeros(*rows.shape[:ROWS], *self.node.input_shapes[0])
        if self.node.op != "linear":
            rule = RULES[self.node.op].pull
            assert rule is not None
            return rule(self.node, (self.weight,), rows).coefficients[0]
        flat = rows.reshape(-1, rows.shape[-1])
        # Inputs first, so that each rank's piece is one run of memory.
        product = matmul.mm(self.weight.mT, flat.mT).mT
        return product.reshape(*rows.shape[:ROWS], *self.node.input_shapes[0])

    def push(self, rows: Tensor) -> Tensor:
        """The transpose of `pull`."""
        if self.empty:
            return rows.new_zeros(*rows.shape[:ROWS], *self.node.shape)
        flat = rows.flatten(0, 1)
        if self.node.op == "linear":
            return linear.times(flat, self.weight).unflatten(0, rows.shape[:ROWS])
        rule = RULES[self.node.op].forward
        return rule(self.node, (self.weight,), flat).unflatten(0, rows.shape[:ROWS])

    @property
    def empty(self) -> bool:
        """Whether this rank has no outputs, as where there are fewer outputs than ranks."""
        return self.node.size == 0


class ExchangedProduct(torch.autograd.Function):
    """Rows of this rank's outputs → rows at the input, summed over ranks and cut as it is."""

    @staticmethod
    def forward(ctx, group: Group, product: Product, rows: Tensor) -> Tensor:
        ctx.group, ctx.product = group, product
        whole, cut = product.pull(rows), product.inputs
        if cut is None:
            # Ranks must agree on the order in memory, which a product is free to choose.
            whole = whole.contiguous()
            group.all_reduce(whole)
            return whole
        return scatter_sum(group, whole, cut.axis + ROWS, cut.ends)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, None, Tensor]:
        group, product = ctx.group, ctx.product
        if product.inputs is not None:
            cut = product.inputs
            gradient = gather_pieces(group, gradient, cut.axis + ROWS, cut.ends)
        return None, None, product.push(gradient)


class Piece(torch.autograd.Function):
    """This rank's piece of rows that all ranks have whole."""

    @staticmethod
    def forward(ctx, group: Group, cut: Cut, rows: Tensor) -> Tensor:
        ctx.group, ctx.cut = group, cut
        return cut.piece(rows, group.rank, ROWS)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, None, Tensor]:
        cut = ctx.cut
        return None, None, gather_pieces(ctx.group, gradient, cut.axis + ROWS, cut.ends)


class Whole(torch.autograd.Function):
    """Whole rows from the pieces of all ranks."""

    @staticmethod
    def forward(ctx, group: Group, cut: Cut, rows: Tensor) -> Tensor:
        ctx.group, ctx.cut = group, cut
        return gather_pieces(group, rows, cut.axis + ROWS, cut.ends)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.cut.piece(gradient, ctx.group.rank, ROWS)


class Settled(torch.autograd.Function):
    """Values that all ranks know, with the gradients of what this rank has a share of."""

    @staticmethod
    def forward(ctx, share: Tensor, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def tallest(ends: Sequence[int]) -> int:
    """The length of the longest piece."""
    return max(high - low for low, high in pairwise(ends))


def _filled(values: Tensor, height: int) -> Tensor:
    if len(values) == height:
        return values.contiguous()
    filled = values.new_zeros(height, *values.shape[1:])
    filled[: len(values)] = values
    return filled
