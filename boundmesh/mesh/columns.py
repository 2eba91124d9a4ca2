"""Products whose sums are not cut: rows are gathered, and each rank has some of the inputs.

Rank r has the columns `W_r = W[:, inputs of r]` of a weight `[out, in]`:

    rows        A [S, out] gathered       A W_r → [S, in/P]
    gradients   G [S, in] gathered        G W[outputs of r]ᵀ → [S, out/P]; an all-to-all turns W
    unit rows   this rank's columns of rows of W; nothing is sent

Every number is computed on one rank from all its terms, as one device computes it. Convolutions
have channels for inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.bounds.product import offset, times, transposed
from boundmesh.bounds.served import Part, Served, node_of_part
from boundmesh.mesh.group import Group
from boundmesh.mesh.placement import Cut
from boundmesh.mesh.tensor import ROWS, gather_pieces


@dataclass(frozen=True)
class Columns:
    """A product on one rank: its weight's columns in `served`, how inputs and outputs are cut
    (`rows` is None where all ranks have whole rows), and how to get the weight of its outputs."""

    served: Served
    inputs: Cut
    outputs: Cut
    rows: Cut | None
    turned: Callable[[], Tensor]

    def local(self, rank: int) -> Served:
        """The product as if it had this rank's inputs alone."""
        node = self.served.node
        shapes = (self.inputs.shape(node.input_shapes[0], rank),)
        return replace(self.served, node=replace(node, input_shapes=shapes))

    def own(self, rank: int, parts: Sequence[Part] = ()) -> Served:
        """The product as if it had this rank's outputs alone."""
        node, weights = node_of_part(self.served, *self.outputs.span(rank))
        return Served(node, weights, parts)

    def push(self, rank: int, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Gradients to this rank's outputs from those to all inputs, and from those to
        `⟨A, b⟩` `[D, S]` over this rank's outputs."""
        # All ranks turn the weight, also for one that has no outputs.
        weight, height = self.turned(), self.outputs.shape(self.served.node.shape, rank)
        own = self.own(rank, [Part(0, height[self.outputs.axis], weight)])
        shape = torch.Size((*gradient.shape[:ROWS], *height))
        if 0 in shape:
            return gradient.new_zeros(shape)
        of_biases = [] if of_bias is None else [of_bias]
        (found,) = transposed(own, [gradient], of_biases, [shape])
        return found


class GatheredProduct(torch.autograd.Function):
    """Rows cut along the outputs → rows cut along the inputs; `⟨A, b⟩` over this rank's outputs;
    and all of `⟨A, b⟩` for the rows that `share` takes, which has no gradient."""

    @staticmethod
    def forward(
        ctx, group: Group, columns: Columns, share: Callable[[Tensor], Tensor], rows: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        ctx.group, ctx.columns = group, columns
        rank, cut = group.rank, columns.rows
        if cut is None:
            own = offset(columns.own(rank), columns.outputs.piece(rows, rank, ROWS))
        else:
            own = offset(columns.own(rank), rows)
            rows = gather_pieces(group, rows, cut.axis + ROWS, cut.ends).contiguous()
        settled = offset(columns.served, share(rows))
        if settled is not None:
            ctx.mark_non_differentiable(settled)
        local = columns.local(rank)
        if 0 in local.node.input_shapes[0]:
            return rows.new_zeros(*rows.shape[:ROWS], *local.node.input_shapes[0]), own, settled
        return times(local, [rows])[0], own, settled

    @staticmethod
    @once_differentiable
    def backward(
        ctx, gradient: Tensor, of_bias: Tensor | None, _: object
    ) -> tuple[None, None, None, Tensor]:
        group, columns = ctx.group, ctx.columns
        cut = columns.inputs
        gradient = gather_pieces(group, gradient, cut.axis + ROWS, cut.ends).contiguous()
        mine = columns.push(group.rank, gradient, of_bias)
        if columns.rows is None:
            cut = columns.outputs
            mine = gather_pieces(group, mine, cut.axis + ROWS, cut.ends)
        return None, None, None, mine
