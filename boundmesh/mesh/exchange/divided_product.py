"""Pulls rows back through a product whose weight lies on several ranks, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.bounds.sweep.node_weights import NodeWeights
from boundmesh.bounds.sweep.products import offset
from boundmesh.mesh.runtime.group import Group


class Divided(Protocol):
    """A product of whose weight this rank holds the part of some inputs, or of some outputs.

    `node_weights` is the node with its whole bias and this rank's part of the weight.
    """

    @property
    def node_weights(self) -> NodeWeights: ...

    def own_product(self, rank: int) -> NodeWeights:
        """Return the product reduced to this rank's outputs."""
        ...

    def own_rows(self, group: Group, rows: Tensor) -> Tensor:
        """Return the coefficients of this rank's outputs."""
        ...

    def multiplied(self, group: Group, rows: Tensor) -> Tensor:
        """Return the coefficients that this rank multiplies with its part of the weight."""
        ...

    def pull(self, group: Group, multiplied: Tensor) -> Tensor:
        """Pull the rows `multiplied` back to the inputs; the result is cut as they are."""
        ...

    def push(self, group: Group, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Compute the gradients to the rows.

        `gradient` is that to the pulled rows, and `of_bias` `[D, S]` that to `⟨A, b⟩` over this
        rank's outputs.
        """
        ...


class DividedProduct(torch.autograd.Function):
    """The product of rows with a weight that lies on several ranks. It returns three tensors:

    1. the rows at the inputs;
    2. `⟨A, b⟩` `[D, S]` over this rank's outputs, for gradients;
    3. `⟨A, b⟩` over all outputs for this rank's share of the rows, without gradients; `share`
       selects these rows from those of `Divided.multiplied`.
    """

    @staticmethod
    def forward(
        ctx: Any, group: Group, product: Divided, share: Callable[[Tensor], Tensor], rows: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        ctx.group, ctx.product = group, product
        multiplied, own_bias, settled = product.multiplied(group, rows), None, None
        if product.node_weights.weights:
            own_bias = offset(product.own_product(group.rank), product.own_rows(group, rows))
            settled = offset(product.node_weights, share(multiplied))
            ctx.mark_non_differentiable(settled)
        return product.pull(group, multiplied), own_bias, settled

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, of_bias: Tensor | None, _: object
    ) -> tuple[None, None, None, Tensor]:
        return None, None, None, ctx.product.push(ctx.group, gradient, of_bias)
