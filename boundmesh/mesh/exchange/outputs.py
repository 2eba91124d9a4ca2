"""Linear nodes with so many outputs that the weight has a part for every rank.

Rank r of P holds the rows `W_r = W[outputs of r]` of a weight `[out, in]`, and the coefficients A_r
of its outputs:

    rows        A_r [S, out/P]             A_r W_r → [S, in]; a reduce-scatter → [S, in/P]
    gradients   all-gather of G [S, in]    G W_rᵀ → [S, out/P]

The tensors that move have the width of the inputs, which can be far smaller than that of the
outputs. Two ranks with a part each add the same two terms as one device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import NodeWeights, Part, node_of_part
from boundmesh.bounds.sweep.products import transposed
from boundmesh.kernels import matmul
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.sharded_tensors import ROWS, gather_pieces, scatter_sum
from boundmesh.operators.partition import Partition

MANY_ROWS = 512
"""The fewest rows with which multiplying part of a weight's columns keeps a GPU busy. With fewer
rows the whole weight is multiplied at once."""


@dataclass(frozen=True)
class Outputs:
    """A linear node whose weight is cut along its outputs, on one rank.

    node_weights  the node with this rank's rows of its weight
    outputs       how the outputs are cut
    inputs        how the rows at the inputs are cut (None: every rank holds whole rows)
    """

    node_weights: NodeWeights
    outputs: Partition
    inputs: Partition | None

    def own_product(self, rank: int) -> NodeWeights:
        """Return the product reduced to this rank's outputs."""
        node, bias = node_of_part(self.node_weights, *self.outputs.span(rank))
        (part,) = self.node_weights.parts
        return NodeWeights(node, bias, [Part(0, part.high - part.low, part.weight)])

    def own_rows(self, group: Group, rows: Tensor) -> Tensor:
        """Return the rows unchanged; they are cut along the outputs already."""
        return rows

    multiplied = own_rows

    def pull(self, group: Group, multiplied: Tensor) -> Tensor:
        """Pull rows at this rank's outputs back to the inputs; a reduce-scatter adds the ranks'."""
        (part,), cut = self.node_weights.parts, self.inputs
        flat, leading = multiplied.reshape(-1, multiplied.shape[-1]), multiplied.shape[:-1]

        def write(columns: slice, out: Tensor) -> None:
            matmul.mm(flat, part.weight[:, columns], out)

        if cut is not None and cut.axis + ROWS == len(leading) and len(flat) >= MANY_ROWS:
            pulled: Tensor = scatter_sum(group, flat, cut, write).unflatten(0, leading)
            return pulled
        whole: Tensor = matmul.mm(flat, part.weight).unflatten(0, leading)
        if cut is None:
            group.all_reduce(whole)
            return whole
        last = whole.movedim(cut.axis + ROWS, -1)
        wide = last.flatten(0, -2)
        pulled = scatter_sum(group, wide, cut, lambda columns, out: out.copy_(wide[:, columns]))
        pulled = pulled.unflatten(0, last.shape[:-1])
        return pulled.movedim(-1, cut.axis + ROWS).contiguous()

    def push(self, group: Group, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Compute the gradients to the coefficients of this rank's outputs."""
        if self.inputs is not None:
            axis = self.inputs.axis + ROWS
            gradient = gather_pieces(group, gradient, axis, self.inputs.ends)
        height = self.outputs.shape(self.node_weights.node.shape, group.rank)
        shape = torch.Size((*gradient.shape[:ROWS], *height))
        of_biases = [] if of_bias is None else [of_bias]
        (pushed,) = transposed(self.own_product(group.rank), [gradient], of_biases, [shape])
        return pushed
