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

from boundmesh.bounds.product import offset, pull_units, times
from boundmesh.bounds.rows import UnitRows
from boundmesh.bounds.served import Served, node_of_part
from boundmesh.graph.graph import Node
from boundmesh.mesh.group import Group
from boundmesh.mesh.placement import Cut
from boundmesh.mesh.tensor import ROWS, gather_pieces
from boundmesh.rules import RULES
from boundmesh.rules.operator import Pulled


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

    def push(self, rank: int, gradient: Tensor) -> Tensor:
        """Gradients to this rank's outputs from those to all inputs, `[D, S, *input_shape]`."""
        low, high = self.outputs.span(rank)
        node: Node = node_of_part(replace(self.served, weights=()), low, high)[0]
        # All ranks turn the weight, also for one that has no outputs.
        weight = self.turned()
        if low == high:
            return gradient.new_zeros(*gradient.shape[:ROWS], *node.shape)
        rule = RULES[node.op].forward
        return rule(node, (weight,), gradient.flatten(0, 1)).unflatten(0, gradient.shape[:ROWS])


class GatheredProduct(torch.autograd.Function):
    """Rows cut along the outputs → rows cut along the inputs; and `⟨A, b⟩` of the rows that `share`
    takes of all, which has no gradient."""

    @staticmethod
    def forward(
        ctx, group: Group, columns: Columns, share: Callable[[Tensor], Tensor], rows: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        ctx.group, ctx.columns = group, columns
        local = columns.local(group.rank)
        if columns.rows is not None:
            cut = columns.rows
            rows = gather_pieces(group, rows, cut.axis + ROWS, cut.ends).contiguous()
        bias = offset(columns.served, share(rows))
        if bias is not None:
            ctx.mark_non_differentiable(bias)
        if 0 in local.node.input_shapes[0]:
            return rows.new_zeros(*rows.shape[:ROWS], *local.node.input_shapes[0]), bias
        return times(local, [rows])[0], bias

    @staticmethod
    def backward(ctx, gradient: Tensor, _: object) -> tuple[None, None, None, Tensor]:
        group, columns = ctx.group, ctx.columns
        cut = columns.inputs
        gradient = gather_pieces(group, gradient, cut.axis + ROWS, cut.ends).contiguous()
        mine = columns.push(group.rank, gradient)
        if columns.rows is None:
            cut = columns.outputs
            mine = gather_pieces(group, mine, cut.axis + ROWS, cut.ends)
        return None, None, None, mine


def unit_columns(columns: Columns, rank: int, rows: Sequence[UnitRows]) -> list[Pulled] | None:
    """What unit rows pull back to at this rank's inputs, if the operator says so without a product;
    the bias is the whole one."""
    return pull_units(columns.local(rank), rows)
