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
    boxes_of_parts = []
    for part in node_weights.parts:
        node_part, bias = node_of_part(node_weights, part.low, part.high)
        boxes_of_parts.append(rule(node_part, (part.weight, *bias), *boxes))
    if len(boxes_of_parts) == 1:
        return boxes_of_parts[0]
    dim = output_axis(node) + 1
    return Interval(
        torch.cat([box.lower for box in boxes_of_parts], dim),
        torch.cat([box.upper for box in boxes_of_parts], dim),
    )


def times(node_weights: NodeWeights, rows: Sequence[Tensor]) -> list[Tensor]:
    """Compute `A W` for rows `[D, S, *shape]` of several tiles, part after part."""
    node = node_weights.node
    if not is_divisible(node):
        (part,) = node_weights.parts
        rule = RULES[node.op].pull
        assert rule is not None
        return [rule(node, (part.weight,), tile_rows).only for tile_rows in rows]
    flat = [tile_rows.reshape(-1, tile_rows.shape[-1]) for tile_rows in rows]
    distributed = node_weights.distributed
    sums = (
        _sums(node_weights.parts, flat)
        if distributed is None
        else [distributed.times(tile_rows) for tile_rows in flat]
    )
    return [
        total.reshape(*tile_rows.shape[:2], *node.input_shapes[0])
        for total, tile_rows in zip(sums, rows, strict=True)
    ]


def _sums(parts: Iterable[Part], rows: Sequence[Tensor]) -> list[Tensor]:
    sums: list[Tensor] = []
    for part in parts:
        for number, tile_rows in enumerate(rows):
            whole = part.high - part.low == tile_rows.shape[1]
            block = tile_rows if whole else tile_rows[:, part.low : part.high]
            if part.low == 0:
                sums.append(mm(block, part.weight))
            else:
                mm(block, part.weight, sums[number], add=True)
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
    results = _transposed(node_weights, gradients, shapes)
    for result, of_bias in zip(results, of_biases, strict=False):
        wide = of_bias.reshape(*of_bias.shape, *(1,) * (result.dim() - 2))
        result.addcmul_(wide, node_weights.bias)
    return results


def _transposed(
    node_weights: NodeWeights, gradients: Sequence[Tensor], shapes: Sequence[torch.Size]
) -> list[Tensor]:
    node = node_weights.node
    if not is_divisible(node):
        (part,) = node_weights.parts
        rule = RULES[node.op].forward
        return [
            rule(node, (part.weight,), tile_gradient.flatten(0, 1)).reshape(shape)
            for tile_gradient, shape in zip(gradients, shapes, strict=True)
        ]
    flat = [tile_gradient.reshape(-1, tile_gradient.shape[-1]) for tile_gradient in gradients]
    distributed = node_weights.distributed
    if distributed is not None:
        results = [distributed.transposed(tile_gradient) for tile_gradient in flat]
    else:
        results = [
            tile_gradient.new_empty(len(tile_gradient), node.shape[-1]) for tile_gradient in flat
        ]
        for part in node_weights.parts:
            for tile_gradient, result in zip(flat, results, strict=True):
                mm(tile_gradient, part.weight.mT, result[:, part.low : part.high])
    return [result.reshape(shape) for result, shape in zip(results, shapes, strict=True)]


def offset(node_weights: NodeWeights, rows: Tensor, onto: Tensor | None = None) -> Tensor | None:
    """Compute `onto + ⟨A, b⟩` `[D, S]`; b varies along the axis of the outputs only."""
    if not node_weights.weights:
        return onto
    return inner(rows, node_weights.bias, onto)
