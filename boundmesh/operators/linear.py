"""Linear: `x Wᵀ + b` on the last axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.kernels import fused_linear, matmul
from boundmesh.operators.node import Node
from boundmesh.operators.operator import (
    Interval,
    Operator,
    Product,
    Pulled,
    Weights,
    inner,
    register,
)
from boundmesh.operators.rounding import Lengths

# Rows of |W| made at a time, so that an interval never holds a second copy of the weight.
BLOCK = 2048


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: W `[out, in]` and b `[out]` (b may be absent); x `[D, *, in]` → `[D, *, out]`."""
    return functional.linear(x, *weights)


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """`W·c + b ± |W|·r` with c the centre and r the radius of the box."""
    weight = weights[0]
    if fused_linear.few_boxes(box.lower):
        bias = weights[1] if len(weights) > 1 else None
        return Interval(*fused_linear.interval(weight, bias, box.lower, box.upper))
    center, radius = (box.upper + box.lower) / 2, (box.upper - box.lower) / 2
    middle = times(center, *weights)
    spread = torch.cat([times(radius, part.abs()) for part in weight.split(BLOCK)], -1)
    return Interval(middle - spread, middle + spread)


def times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x Wᵀ + b`; on a GPU, where it can be done, without the workspace that cuBLAS takes."""
    flat = x.reshape(-1, x.shape[-1])
    if x.requires_grad or not matmul.applies(flat, weight.mT):
        return functional.linear(x, weight, bias)
    found = matmul.mm(flat, weight.mT).reshape(*x.shape[:-1], len(weight))
    return found if bias is None else found + bias


def pull(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """`A W` and `⟨A, b⟩`."""
    weight = weights[0]
    bias = inner(rows, weights[1].expand(1, 1, *node.shape)) if len(weights) > 1 else None
    return Pulled((torch.matmul(rows, weight),), bias)


def pull_units(
    node: Node, weights: Weights, index: Tensor, sign: Tensor, low: int = 0
) -> Pulled | None:
    """Row i of W is what a unit row pulls back to; no product. Only where W acts on one vector.

    W may be a part that holds the outputs from `low` on; b is whole.
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
    """Sums over the inputs forward, over the outputs back; biases are added over all neurons."""
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
