"""Products of rows with values and with lines.

Every backward sweep multiplies rows with the lines of each nonlinear operator, so these products
must be fast. Their gradients are written by hand, so that α-CROWN stores one tensor per nonlinear
operator, the rows. autograd would store four.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.kernels import fused_rows, launcher
from boundmesh.kernels.sums import of_domains
from boundmesh.operators.rounding import CHUNK


def inner(rows: Tensor, values: Tensor, onto: Tensor | None = None) -> Tensor:
    """Return ⟨rows, values⟩, summed over the neurons, plus `onto` `[D, S]` if given.

    rows `[D, S, *shape]`, values `[D, 1 or S, *shape]` → `[D, S]`. A tensor with a domain dim of 1
    is the same in every domain.
    """
    if fused_rows.sums(rows, values, values) and not torch.is_grad_enabled():
        return fused_rows.signed_inner(rows, values, values, onto)
    if values.shape[1] == 1:
        total = _sums(flat(rows), flat(values).squeeze(1))
    else:
        total = _sums_of(flat(rows * values))
    return total if onto is None else onto + total


def _sums(rows: Tensor, values: Tensor) -> Tensor:
    """Return `Σᵢ rows[d, s, i]·values[d, i]`, `[D, S]`.

    rows `[D or 1, S, n]`, values `[D or 1, n]`. Long sums are added in chunks, so that no number
    passes more roundings than `chunked` counts.
    """
    length = rows.shape[2]
    if length > 2 * CHUNK:
        total = _sums(rows[..., :CHUNK], values[:, :CHUNK])
        for first in range(CHUNK, length, CHUNK):
            chunk = slice(first, first + CHUNK)
            total = total + _sums(rows[..., chunk], values[:, chunk])
        return total
    if len(values) == 1:
        return torch.matmul(rows, values[0])
    return torch.matmul(rows, values.unsqueeze(2)).squeeze(2)


def _sums_of(products: Tensor) -> Tensor:
    """Return `Σᵢ products[d, s, i]`, `[D, S]`, added in chunks."""
    whole = products.shape[2] - products.shape[2] % CHUNK
    if whole <= CHUNK:
        return products.sum(2)
    total = products[..., :whole].unflatten(2, (-1, CHUNK)).sum(3).sum(2)
    result: Tensor = total if whole == products.shape[2] else total + products[..., whole:].sum(2)
    return result


def flat(rows: Tensor) -> Tensor:
    """Flatten rows `[D, S, *shape]` → `[D, S, size]`. The empty shape has size 1."""
    return rows.flatten(2) if rows.dim() > 2 else rows.unsqueeze(2)


def signed_product(rows: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Return `A·below` where A ≥ 0, and `A·above` elsewhere.

    A = rows `[D, S, *]`; below and above `[D, 1 or S, *]`.
    """
    if torch.is_grad_enabled():
        result: Tensor = SignedProduct.apply(rows, below, above)
        return result
    return _signed_product(rows, below, above)


def _signed_product(rows: Tensor, below: Tensor, above: Tensor) -> Tensor:
    if not launcher.on_cpu(rows):
        return torch.where(rows >= 0, below, above).mul_(rows)
    # `where` takes several times as long on a CPU. One of the two products that are added is zero,
    # so the sum is not rounded.
    return torch.addcmul(rows.clamp(min=0) * below, rows.clamp(max=0), above)


def signed_inner(
    rows: Tensor, below: Tensor | None, above: Tensor | None, onto: Tensor | None = None
) -> Tensor | None:
    """Return `onto + (⟨A⁺, below⟩ + ⟨A⁻, above⟩)` `[D, S]`. None stands for zero."""
    if below is None and above is None:
        return onto
    if torch.is_grad_enabled():
        result: Tensor | None = SignedInner.apply(rows, below, above, onto)
        return result
    return _signed_inner(rows, below, above, onto)


def _signed_inner(
    rows: Tensor, below: Tensor | None, above: Tensor | None, onto: Tensor | None = None
) -> Tensor:
    if below is not None and above is not None and fused_rows.sums(rows, below, above):
        return fused_rows.signed_inner(rows, below, above, onto)
    if below is None:
        assert above is not None
        return inner(rows.clamp(max=0), above, onto)
    lower = inner(rows.clamp(min=0), below)
    sums = lower if above is None else lower + inner(rows.clamp(max=0), above)
    return sums if onto is None else onto + sums


class SignedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, below: Tensor, above: Tensor) -> Tensor:
        ctx.save_for_backward(rows, below, above)
        return _signed_product(rows, below, above)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, below, above = ctx.saved_tensors
        to_rows, to_below, to_above = ctx.needs_input_grad
        gradients: list[Tensor | None] = [None, None, None]
        positive = rows >= 0
        if to_rows:
            gradients[0] = _sum_to(torch.where(positive, below, above) * gradient, rows)
        if to_below or to_above:
            product = gradient * rows
            upward = torch.where(positive, product, 0)
            if to_below:
                gradients[1] = _sum_to(upward, below)
            if to_above:
                gradients[2] = _sum_to(product.sub_(upward), above)
        return tuple(gradients)


class SignedInner(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, below: Tensor | None, above: Tensor | None, onto: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(rows, below, above)
        ctx.earlier = 0 if onto is None else len(onto)
        return _signed_inner(rows, below, above, onto)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, below, above = ctx.saved_tensors
        to_rows, to_below, to_above, to_onto = ctx.needs_input_grad
        gradients: list[Tensor | None] = [None, None, None, None]
        if to_onto:
            gradients[3] = of_domains(gradient, ctx.earlier)
        counts = (len(slopes) for slopes in (below, above) if slopes is not None)
        gradient = of_domains(gradient, max(len(rows), *counts))
        spread = gradient.reshape(*gradient.shape, *(1,) * (rows.dim() - 2))
        if to_rows:
            line = torch.where(
                rows >= 0, 0 if below is None else below, 0 if above is None else above
            )
            gradients[0] = _sum_to(line * spread, rows)
        if to_below:
            gradients[1] = _sum_rows(rows.clamp(min=0), gradient, spread, below)
        if to_above:
            gradients[2] = _sum_rows(rows.clamp(max=0), gradient, spread, above)
        return tuple(gradients)


def _sum_rows(rows: Tensor, gradient: Tensor, spread: Tensor, like: Tensor) -> Tensor:
    """Return `Σ gradient·rows`, summed over the dims in which `like` has length 1.

    A sum over rows alone is computed as a matrix product.
    """
    if like.shape[1] == 1 and len(like) == len(rows):
        return torch.bmm(gradient.unsqueeze(1), flat(rows)).reshape(like.shape)
    return _sum_to(rows * spread, like)


def _sum_to(values: Tensor, like: Tensor) -> Tensor:
    """Return the sum over the dims in which `like` has length 1.

    A sum over rows alone is computed as a product with ones. `sum` would split it in a way that
    depends on the number of neurons, and the sum of one neuron must not depend on the others.
    """
    if values.shape == like.shape:
        return values
    if like.shape[1] == 1 < values.shape[1] and len(like) == len(values):
        ones = values.new_ones(len(values), 1, values.shape[1])
        return torch.bmm(ones, flat(values)).reshape(like.shape)
    return values.sum_to_size(like.shape)
