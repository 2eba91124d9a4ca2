"""Rows whose neurons lie on several ranks: products, pieces and sums, with their gradients.

Every function is run by all ranks together. A gradient to rows that all ranks have whole is whole
on all ranks; one to a piece is that piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.bounds.product import offset, transposed
from boundmesh.bounds.served import Part, Served, node_of_part
from boundmesh.mesh.cut import Cut
from boundmesh.mesh.group import Group
from boundmesh.rules import matmul

ROWS = 2
"""Dims of rows before the axes of the value: domains and rows."""

MANY_ROWS = 512
"""Rows of which a product with some columns of a weight fills a GPU; of fewer it takes them all."""


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


def scatter_sum(
    group: Group, like: Tensor, columns: Cut, write: Callable[[slice, Tensor], object]
) -> Tensor:
    """This rank's columns of a sum over ranks of matrices, with as many rows as `like`.

    `write(columns, out)` writes some columns of this rank's matrix to `out`: where they are sent
    from, so that they need not lie anywhere else.
    """
    height = tallest(columns.ends)
    sent = like.new_empty(group.size, len(like), height)
    for rank, out in enumerate(sent):
        low, high = columns.span(rank)
        out[:, high - low :] = 0
        if low < high:
            write(slice(low, high), out[:, : high - low])
    mine = like.new_empty(len(like), height)
    group.reduce_scatter(mine, sent.flatten(0, 1)).wait()
    low, high = columns.span(group.rank)
    return mine[:, : high - low].contiguous()


@dataclass(frozen=True)
class Product:
    """A rank's part of a linear node that is cut along its outputs: `served` is the whole node with
    this rank's rows of the weight, `outputs` and `inputs` how both ends are cut (inputs None: every
    rank has all of them)."""

    served: Served
    outputs: Cut
    inputs: Cut | None

    def own(self, rank: int) -> Served:
        """The product as if it had this rank's outputs alone."""
        node, bias = node_of_part(self.served, *self.outputs.span(rank))
        (part,) = self.served.parts
        return Served(node, bias, [Part(0, part.high - part.low, part.weight)])

    def pull(self, group: Group, rows: Tensor) -> Tensor:
        """Rows at this rank's outputs → rows at the inputs, summed over ranks and cut as these are.

        Two ranks that have a part each add what one device adds.
        """
        (part,), cut = self.served.parts, self.inputs
        flat, leading = rows.reshape(-1, rows.shape[-1]), rows.shape[:-1]

        def write(columns: slice, out: Tensor) -> None:
            matmul.mm(flat, part.weight[:, columns], out)

        if cut is not None and cut.axis + ROWS == len(leading) and len(flat) >= MANY_ROWS:
            return scatter_sum(group, flat, cut, write).unflatten(0, leading)
        whole = matmul.mm(flat, part.weight).unflatten(0, leading)
        if cut is None:
            group.all_reduce(whole)
            return whole
        last = whole.movedim(cut.axis + ROWS, -1)
        wide = last.flatten(0, -2)
        mine = scatter_sum(group, wide, cut, lambda columns, out: out.copy_(wide[:, columns]))
        return mine.unflatten(0, last.shape[:-1]).movedim(-1, cut.axis + ROWS).contiguous()


class ExchangedProduct(torch.autograd.Function):
    """Rows of this rank's outputs → rows at the input; `⟨A, b⟩` over these outputs; and all of
    `⟨A, b⟩` for the rows that `share` takes, which has no gradient."""

    @staticmethod
    def forward(
        ctx, group: Group, product: Product, share: Callable[[Tensor], Tensor], rows: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        ctx.group, ctx.product, ctx.shape = group, product, rows.shape
        own = offset(product.own(group.rank), rows)
        settled = offset(product.served, share(rows)) if product.served.weights else None
        if settled is not None:
            ctx.mark_non_differentiable(settled)
        return product.pull(group, rows), own, settled

    @staticmethod
    @once_differentiable
    def backward(
        ctx, gradient: Tensor, of_bias: Tensor | None, _: object
    ) -> tuple[None, None, None, Tensor]:
        group, product, cut = ctx.group, ctx.product, ctx.product.inputs
        if cut is not None:
            gradient = gather_pieces(group, gradient, cut.axis + ROWS, cut.ends)
        of_biases = [] if of_bias is None else [of_bias]
        (found,) = transposed(product.own(group.rank), [gradient], of_biases, [ctx.shape])
        return None, None, None, found


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
