"""The operator `linear`, which computes `x Wᵀ + b` on the last axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.kernels import fused_linear, matmul
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, Product, register
from boundmesh.operators.rounding import Lengths

# The number of rows of |W| that are computed at a time. An interval so never holds a second copy
# of the whole weight.
BLOCK = 2048


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Compute `x Wᵀ + b`: x `[D, *, in]` → `[D, *, out]`.

    `weights` holds W `[out, in]` and b `[out]`; b may be absent.
    """
    return functional.linear(x, *weights)


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `W·c + b ± |W|·r`, where c is the centre and r the radius of the box."""
    weight = weights[0]
    if fused_linear.few_boxes(box.lower):
        bias = weights[1] if len(weights) > 1 else None
        return Interval(*fused_linear.interval(weight, bias, box.lower, box.upper))
    center, radius = (box.upper + box.lower) / 2, (box.upper - box.lower) / 2
    middle = times(center, *weights)
    spread = torch.cat([times(radius, part.abs()) for part in weight.split(BLOCK)], -1)
    return Interval(middle - spread, middle + spread)


def times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `x Wᵀ + b`.

    On a GPU our own kernel computes it where it can, because cuBLAS would reserve a workspace.
    """
    flat = x.reshape(-1, x.shape[-1])
    if x.requires_grad or not matmul.applies(flat, weight.mT):
        return functional.linear(x, weight, bias)
    y = matmul.mm(flat, weight.mT).reshape(*x.shape[:-1], len(weight))
    return y if bias is None else y + bias


def pull(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A `[D, S, *shape]` back: the coefficients are `A W`, the bias is `⟨A, b⟩`."""
    weight = weights[0]
    bias = inner(rows, weights[1].expand(1, 1, *node.shape)) if len(weights) > 1 else None
    return Pulled((torch.matmul(rows, weight),), bias)


def pull_units(
    node: Node, weights: Weights, index: Tensor, sign: Tensor, low: int = 0
) -> Pulled | None:
    """Pull unit rows back without a product: the unit row of neuron i becomes row i of W.

    The rule applies only if the node multiplies W with a single vector; otherwise it returns None.
    W may be a part of the weight that holds the outputs from `low` on. b is always whole.
    """
    if node.size != node.shape[-1]:
        return None
    weight, offset = weights[0], weights[1] if len(weights) > 1 else None
    make = fused_linear.unit_rows if fused_linear.units(weight, offset, sign) else _unit_rows
    rows, bias = make(weight, offset, index, sign, low)
    coefficients = rows.reshape(1, len(index), *node.input_shapes[0])
    return Pulled((coefficients,), None if bias is None else bias[None])


def _unit_rows(
    weight: Tensor, bias: Tensor | None, index: Tensor, sign: Tensor, low: int
) -> tuple[Tensor, Tensor | None]:
    rows = weight.index_select(0, index - low if low else index).mul_(sign.unsqueeze(1))
    return rows, None if bias is None else bias[index] * sign


def lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings.

    The forward pass sums over the inputs, and a pull sums over the outputs. The bias of a row is a
    sum over all neurons.
    """
    outputs, inputs = weights[0].shape
    return Lengths(inputs + 1, outputs, node.size)


LINEAR = register(
    Operator(
        "linear",
        forward,
        interval,
        pull=pull,
        pull_units=pull_units,
        lengths=lengths,
        by_blocks=True,
        product=Product(axis=-1, divisible=True),
        exact_on_box=True,
    )
)
