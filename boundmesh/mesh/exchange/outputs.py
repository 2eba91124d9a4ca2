"""Linear nodes with so many outputs that there is a part of the weight for every rank.

Rank r has the rows `W_r = W[outputs of r]` of a weight `[out, in]`, and rows of its outputs alone:

    rows        A_r [S, out/P]        A_r W_r → [S, in]; a reduce-scatter adds and cuts → [S, in/P]
    gradients   G [S, in] gathered    G W_rᵀ → [S, out/P]

What moves is as wide as the inputs, of which there may be far fewer. Two ranks that have a part
each add what one device adds.
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
"""Rows of which a product with some columns of a weight fills a GPU; of fewer it takes them all."""


@dataclass(frozen=True)
class Outputs:
    """A linear node on one rank: its rows of the weight in `served`, how outputs and inputs are cut
    (`inputs` is None where every rank has all of them)."""

    served: NodeWeights
    outputs: Partition
    inputs: Partition | None

    def own(self, rank: int) -> NodeWeights:
        """The product as if it had this rank's outputs alone."""
        node, bias = node_of_part(self.served, *self.outputs.span(rank))
        (part,) = self.served.parts
        return NodeWeights(node, bias, [Part(0, part.high - part.low, part.weight)])

    def mine(self, group: Group, rows: Tensor) -> Tensor:
        """The rows as they are."""
        return rows

    taken = mine

    def pull(self, group: Group, taken: Tensor) -> Tensor:
        """Rows at this rank's outputs → rows at the inputs, added up and cut as these are."""
        (part,), cut = self.served.parts, self.inputs
        flat, leading = taken.reshape(-1, taken.shape[-1]), taken.shape[:-1]

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

    def push(self, group: Group, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Gradients to this rank's outputs."""
        if self.inputs is not None:
            axis = self.inputs.axis + ROWS
            gradient = gather_pieces(group, gradient, axis, self.inputs.ends)
        height = self.outputs.shape(self.served.node.shape, group.rank)
        shape = torch.Size((*gradient.shape[:ROWS], *height))
        of_biases = [] if of_bias is None else [of_bias]
        (found,) = transposed(self.own(group.rank), [gradient], of_biases, [shape])
        return found
