"""Pulls rows back through affine nodes.

Autograd keeps no weight. Its backward pass through a product gets the weight from the layout again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.bounds.sweep.node_weights import NodeWeights, product_of
from boundmesh.bounds.sweep.products import offset, times, transposed
from boundmesh.bounds.sweep.tape import Tape
from boundmesh.bounds.sweep.window_affine import pull_windows
from boundmesh.bounds.sweep.window_rows import dense
from boundmesh.kernels.sums import Collected, of_domains
from boundmesh.operators import RULES
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.windows import PulledWindows, Windows


def pull(
    node_weights: NodeWeights, tape: Tape, rows: Sequence[Tensor], onto: Sequence[Tensor | None]
) -> list[Pulled]:
    """Pull rows `[D, S, *shape]` of several tiles back through an affine node.

    The bias of each tile is added to its entry of `onto`, `[D, S]` (None: zero).
    """
    node = node_weights.node
    rule = RULES[node.op].pull
    assert rule is not None
    if product_of(node) is None:
        pairs = zip(rows, onto, strict=True)
        return [rule(node, node_weights.weights, tile_rows).onto(bias) for tile_rows, bias in pairs]
    if torch.is_grad_enabled():
        earlier = onto if node_weights.weights else ()
        products = _Product.apply(node_weights, tape, len(rows), *rows, *earlier)
        biases = products[len(rows) :] or onto
        return [
            Pulled((tile_rows,), bias) for tile_rows, bias in zip(products, biases, strict=False)
        ]
    products = times(node_weights, rows)
    biases = (
        offset(node_weights, tile_rows, bias) for tile_rows, bias in zip(rows, onto, strict=True)
    )
    return [Pulled((tile_rows,), bias) for tile_rows, bias in zip(products, biases, strict=True)]


def pull_rows(
    node_weights: NodeWeights,
    tape: Tape,
    rows: Sequence[Tensor | Windows],
    collected: Sequence[Collected],
) -> Sequence[tuple[Pulled | PulledWindows, Collected]]:
    """Pull rows of several tiles back through an affine node; return what each has collected then.

    All of them are dense or all lie in windows, which become dense if the operator has no rule for
    them.
    """
    windows = [tile for tile in rows if isinstance(tile, Windows)]
    if windows:
        in_windows = pull_windows(node_weights, tape, windows, collected)
        if in_windows is not None:
            return in_windows
        collected = [tile.collect(sums) for tile, sums in zip(windows, collected, strict=True)]
    biases = [sums.bias for sums in collected]
    pulled = pull(node_weights, tape, [dense(tile) for tile in rows], biases)
    errors = [sums.error for sums in collected]
    return [(p, Collected(p.bias, error)) for p, error in zip(pulled, errors, strict=True)]


class _Product(torch.autograd.Function):
    """The products A W of the rows A of `count` tiles with a weight.

    The outputs are the products, then, if the node has a bias b, `onto + ⟨A, b⟩` of every tile.
    Gradients G pass as G Wᵀ: the transpose of `pull` is the operator's `forward` without its bias.
    """

    @staticmethod
    def forward(
        ctx: Any, node_weights: NodeWeights, tape: Tape, count: int, *given: Tensor | None
    ) -> tuple[Tensor, ...]:
        rows, onto = cast(tuple[Tensor, ...], given[:count]), given[count:]
        ctx.node, ctx.tape = node_weights.node, tape
        ctx.shapes = [each.shape for each in rows]
        ctx.earlier = [0 if each is None else len(each) for each in onto]
        if any(ctx.needs_input_grad[3 : 3 + count]):
            tape.passed(node_weights.node)
        pairs = zip(rows, onto, strict=True) if onto else ()
        biases = [cast(Tensor, offset(node_weights, each, bias)) for each, bias in pairs]
        return (*times(node_weights, rows), *biases)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.shapes)
        to_rows, to_onto = ctx.needs_input_grad[3 : 3 + count], ctx.needs_input_grad[3 + count :]
        of_biases = gradients[count:]
        found: list[Tensor | None] = [None] * count
        if any(to_rows):
            own = [of_domains(g, shape[0]) for g, shape in zip(of_biases, ctx.shapes, strict=False)]
            found[:] = transposed(ctx.tape.back(ctx.node), gradients[:count], own, ctx.shapes)
        earlier = [
            of_domains(gradient, domains) if wanted else None
            for gradient, domains, wanted in zip(of_biases, ctx.earlier, to_onto, strict=True)
        ]
        return None, None, None, *found, *earlier
