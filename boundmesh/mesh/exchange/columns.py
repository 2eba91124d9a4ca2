"""Products whose weight is cut along its inputs, so that every sum is computed on one rank.

Rank r of P holds the columns `W_r = W[:, inputs of r]` of a weight `[out, in]`:

    rows        all-gather of A [S, out]    A W_r → [S, in/P]
    gradients   all-gather of G [S, in]     G W[outputs of r]ᵀ → [S, out/P]; an all-to-all re-cuts W
    unit rows   this rank's columns of rows of W; nothing is sent

One rank computes each number from all its terms, as one device does. In convolutions, inputs and
outputs are channels. The order in which cuDNN adds terms depends on the number of channels. On GPUs
a convolution therefore keeps all channels, with zero weights for those of other ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import (
    NodeWeights,
    Part,
    is_divisible,
    node_of_part,
    product_of,
)
from boundmesh.bounds.sweep.products import times, transposed
from boundmesh.kernels import launcher
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.sharded_tensors import ROWS, gather_pieces
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition


@dataclass(frozen=True)
class Columns:
    """A product whose weight is cut along its inputs, on one rank.

    node_weights  the node with this rank's columns of its weight
    inputs        how the inputs are cut
    outputs       how the outputs are cut
    rows          how the rows at the outputs are cut (None: all ranks hold whole rows)
    own_outputs   a function that returns W[outputs of this rank], by an all-to-all
    """

    node_weights: NodeWeights
    inputs: Partition
    outputs: Partition
    rows: Partition | None
    own_outputs: Callable[[], Tensor]

    def local(self, rank: int) -> NodeWeights:
        """Return the product reduced to this rank's inputs."""
        node = self.node_weights.node
        shapes = (self.inputs.shape(node.input_shapes[0], rank),)
        return replace(self.node_weights, node=replace(node, input_shapes=shapes))

    def own_product(self, rank: int) -> NodeWeights:
        """Return the product reduced to this rank's outputs, with its bias only."""
        node, bias = node_of_part(self.node_weights, *self.outputs.span(rank))
        return NodeWeights(node, bias)

    def own_rows(self, group: Group, rows: Tensor) -> Tensor:
        """Return the coefficients of this rank's outputs."""
        return rows if self.rows else self.outputs.piece(rows, group.rank, ROWS)

    def multiplied(self, group: Group, rows: Tensor) -> Tensor:
        """Return whole rows, by an all-gather if they are cut."""
        if self.rows is None:
            return rows
        return gather_pieces(group, rows, self.rows.axis + ROWS, self.rows.ends).contiguous()

    def pull(self, group: Group, multiplied: Tensor) -> Tensor:
        """Pull whole rows at the outputs back to this rank's inputs."""
        local = self.local(group.rank)
        if 0 in local.node.input_shapes[0]:
            return multiplied.new_zeros(*multiplied.shape[:ROWS], *local.node.input_shapes[0])
        if not keeps_channels(local.node, multiplied):
            return times(local, [multiplied])[0]
        (part,) = local.parts
        whole = self._among_all(part.weight, self.inputs, group.rank)
        return self.inputs.piece(times(whole, [multiplied])[0], group.rank, ROWS).contiguous()

    def push(self, group: Group, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Compute the gradients to the rows, whole where all ranks hold whole rows."""
        axis = self.inputs.axis + ROWS
        gradient = gather_pieces(group, gradient, axis, self.inputs.ends).contiguous()
        pushed = self._push(group.rank, gradient, of_bias)
        if self.rows:
            return pushed
        return gather_pieces(group, pushed, self.outputs.axis + ROWS, self.outputs.ends)

    def _push(self, rank: int, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Compute the gradients to this rank's outputs from those to all inputs."""
        # All ranks take part in this all-to-all, even those without outputs.
        weight, height = self.own_outputs(), self.outputs.shape(self.node_weights.node.shape, rank)
        shape = torch.Size((*gradient.shape[:ROWS], *height))
        if 0 in shape:
            return gradient.new_zeros(shape)
        of_biases = [] if of_bias is None else [of_bias]
        if keeps_channels(self.node_weights.node, gradient):
            whole = self._among_all(weight, self.outputs, rank)
            row_shape = torch.Size((*gradient.shape[:ROWS], *self.node_weights.node.shape))
            (pushed,) = transposed(whole, [gradient], of_biases, [row_shape])
            return self.outputs.piece(pushed, rank, ROWS).contiguous()
        own_columns = replace(
            self.own_product(rank), parts=[Part(0, height[self.outputs.axis], weight)]
        )
        (pushed,) = transposed(own_columns, [gradient], of_biases, [shape])
        return pushed

    def _among_all(self, weight: Tensor, channels: Partition, rank: int) -> NodeWeights:
        """Return the whole product, with zero weights for the channels of other ranks."""
        weight = among_all(weight, self._weight_cut(channels), rank)
        count = self.node_weights.node.shape[self.outputs.axis]
        return replace(self.node_weights, parts=[Part(0, count, weight)])

    def _weight_cut(self, channels: Partition) -> Partition:
        """Return how a weight `[out, in, …]`, transposed `[in, out, …]`, is cut by channels."""
        product = product_of(self.node_weights.node)
        assert product is not None
        of_outputs = channels is self.outputs
        dim = product.output_dim if of_outputs else 1 - product.output_dim
        return Partition(dim, channels.ends)


def keeps_channels(node: Node, rows: Tensor) -> bool:
    """Return True if a product is computed with the channels of all ranks."""
    return launcher.on_gpu(rows) and not is_divisible(node)


def among_all(piece: Tensor, cut: Partition, rank: int) -> Tensor:
    """Return a whole weight with this rank's piece, and zeros in the pieces of other ranks."""
    shape = list(piece.shape)
    shape[cut.axis] = cut.ends[-1]
    whole = piece.new_zeros(shape)
    cut.piece(whole, rank, 0).copy_(piece)
    return whole
