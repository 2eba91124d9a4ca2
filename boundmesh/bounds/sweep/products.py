"""Multiplies rows and boxes by a weight that arrives in parts.

Each part is used once, so it need not stay in memory. Part p of a linear node's weight W holds the
outputs [low, high) of p:

    rows        A W = Σ_p A[..., p] W[p]        added in the order of the parts
    gradients   G Wᵀ                            the results of the parts are concatenated
    boxes       W x + b                         the results of the parts are concatenated

Other products have a weight of one part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import (
    NodeWeights,
    Part,
    is_divisible,
    node_of_part,
    output_axis,
    product_of,
)
from boundmesh.kernels.matmul import mm
from boundmesh.operators import RULES
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval


def interval(node_weights: NodeWeights, boxes: Sequence[Interval]) -> Interval:
    """Compute the interval of a node from the intervals of its inputs."""
    node = node_weights.node
    rule = RULES[node.op].interval
    if product_of(node) is None:
        return rule(node, node_weights.weights, *boxes)
    found = []
    for part in node_weights.parts:
        node_part, bias = node_of_part(node_weights, part.low, part.high)
        found.append(rule(node_part, (part.weight, *bias), *boxes))
    if len(found) == 1:
        return found[0]
    dim = output_axis(node) + 1
    return Interval(
        torch.cat([each.lower for each in found], dim),
        torch.cat([each.upper for each in found], dim),
    )


def times(node_weights: NodeWeights, rows: Sequence[Tensor]) -> list[Tensor]:
    """Compute `A W` for rows `[D, S, *shape]` of several tiles, part after part."""
    node = node_weights.node
    if not is_divisible(node):
        (part,) = node_weights.parts
        rule = RULES[node.op].pull
        assert rule is not None
        return [rule(node, (part.weight,), each).only for each in rows]
    flat = [each.reshape(-1, each.shape[-1]) for each in rows]
    distributed = node_weights.distributed
    sums = (
        _sums(node_weights.parts, flat)
        if distributed is None
        else [distributed.times(each) for each in flat]
    )
    return [
        total.reshape(*each.shape[:2], *node.input_shapes[0])
        for total, each in zip(sums, rows, strict=True)
    ]


def _sums(parts: Iterable[Part], rows: Sequence[Tensor]) -> list[Tensor]:
    sums: list[Tensor] = []
    for part in parts:
        for place, each in enumerate(rows):
            whole = part.high - part.low == each.shape[1]
            block = each if whole else each[:, part.low : part.high]
            if part.low == 0:
                sums.append(mm(block, part.weight))
            else:
                mm(block, part.weight, sums[place], add=True)
    return sums


def transposed(
    node_weights: NodeWeights,
    gradients: Sequence[Tensor],
    of_biases: Sequence[Tensor],
    shapes: Sequence[torch.Size],
) -> list[Tensor]:
    """Compute the gradients to the rows, `[D, S, *shape]`.

    `gradients` are those to the pulled rows `A W`. `of_biases` are those to `⟨A, b⟩`, `[D, S]`
    each; the sequence is empty if the node has no bias.
    """
    found = _transposed(node_weights, gradients, shapes)
    for each, of_bias in zip(found, of_biases, strict=False):
        wide = of_bias.reshape(*of_bias.shape, *(1,) * (each.dim() - 2))
        each.addcmul_(wide, node_weights.bias)
    return found


def _transposed(
    node_weights: NodeWeights, gradients: Sequence[Tensor], shapes: Sequence[torch.Size]
) -> list[Tensor]:
    node = node_weights.node
    if not is_divisible(node):
        (part,) = node_weights.parts
        rule = RULES[node.op].forward
        return [
            rule(node, (part.weight,), each.flatten(0, 1)).reshape(shape)
            for each, shape in zip(gradients, shapes, strict=True)
        ]
    flat = [each.reshape(-1, each.shape[-1]) for each in gradients]
    distributed = node_weights.distributed
    if distributed is not None:
        found = [distributed.transposed(each) for each in flat]
    else:
        found = [each.new_empty(len(each), node.shape[-1]) for each in flat]
        for part in node_weights.parts:
            for each, whole in zip(flat, found, strict=True):
                mm(each, part.weight.mT, whole[:, part.low : part.high])
    return [whole.reshape(shape) for whole, shape in zip(found, shapes, strict=True)]


def offset(node_weights: NodeWeights, rows: Tensor, onto: Tensor | None = None) -> Tensor | None:
    """Compute `onto + ⟨A, b⟩` `[D, S]`; b varies along the axis of the outputs only."""
    if not node_weights.weights:
        return onto
    return inner(rows, node_weights.bias, onto)
