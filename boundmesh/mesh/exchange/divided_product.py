"""Rows through a product that lies on several ranks, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.bounds.sweep.node_weights import NodeWeights
from boundmesh.bounds.sweep.products import offset
from boundmesh.mesh.runtime.group import Group


class Divided(Protocol):
    """A product with what this rank has of its weight: some inputs, or some outputs.

    `served` is the whole product, with its whole bias.
    """

    @property
    def served(self) -> NodeWeights: ...

    def own(self, rank: int) -> NodeWeights:
        """The product as if it had this rank's outputs alone."""
        ...

    def mine(self, group: Group, rows: Tensor) -> Tensor:
        """The coefficients of this rank's outputs."""
        ...

    def taken(self, group: Group, rows: Tensor) -> Tensor:
        """The coefficients that this rank multiplies."""
        ...

    def pull(self, group: Group, taken: Tensor) -> Tensor:
        """Rows at the inputs, cut as these are, from what is taken."""
        ...

    def push(self, group: Group, gradient: Tensor, of_bias: Tensor | None) -> Tensor:
        """Gradients to the rows, from those to the pulled rows and those to `⟨A, b⟩` `[D, S]` over
        this rank's outputs."""
        ...


class DividedProduct(torch.autograd.Function):
    """Rows at the outputs → rows at the inputs; `⟨A, b⟩` over this rank's outputs; and all of
    `⟨A, b⟩` for the rows that `share` makes of what is taken, which has no gradient."""

    @staticmethod
    def forward(
        ctx, group: Group, product: Divided, share: Callable[[Tensor], Tensor], rows: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        ctx.group, ctx.product = group, product
        taken, own, settled = product.taken(group, rows), None, None
        if product.served.weights:
            own = offset(product.own(group.rank), product.mine(group, rows))
            settled = offset(product.served, share(taken))
            ctx.mark_non_differentiable(settled)
        return product.pull(group, taken), own, settled

    @staticmethod
    @once_differentiable
    def backward(
        ctx, gradient: Tensor, of_bias: Tensor | None, _: object
    ) -> tuple[None, None, None, Tensor]:
        return None, None, None, ctx.product.push(ctx.group, gradient, of_bias)
