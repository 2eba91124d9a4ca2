"""Pulls rows in windows back through affine nodes; autograd keeps no weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.bounds.sweep.node_weights import NodeWeights, product_of
from boundmesh.bounds.sweep.tape import Tape
from boundmesh.kernels.sums import Collected, added, of_domains
from boundmesh.operators import RULES
from boundmesh.operators.window_grid import Grid
from boundmesh.operators.windows import PulledWindows, Windows


def pull_windows(
    node_weights: NodeWeights,
    tape: Tape,
    rows: Sequence[Windows],
    collected: Sequence[Collected],
) -> list[tuple[PulledWindows, Collected]] | None:
    """Pull windows of several tiles back through an affine node; None if they must be dense.

    The bias of each tile is added to what it collected, and what is due there is counted.
    """
    node = node_weights.node
    rule = RULES[node.op].pull_windows
    if rule is None:
        return None
    weights, results = node_weights.tensors, []
    for windows, before in zip(rows, collected, strict=True):
        recorded = torch.is_grad_enabled() and product_of(node) is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not recorded):
            pulled = rule(node, weights, windows)
            if pulled is None:
                return None
            known = Collected(None, before.error, before.due) if recorded else before
            after = windows.collect(known, pulled.features)
            after = Collected(added(after.bias, pulled.bias), after.error)
        if recorded:
            pulled, bias = _with_gradients(node_weights, tape, windows, pulled, after.bias)
            after = Collected(added(before.bias, bias), after.error)
        results.append((pulled, after))
    return results


def _with_gradients(
    node_weights: NodeWeights, tape: Tape, rows: Windows, pulled: PulledWindows, bias: Tensor | None
) -> tuple[PulledWindows, Tensor | None]:
    (windows,) = pulled.windows
    coefficients, bias = _Product.apply(
        rows.coefficients, node_weights, tape, rows.grid, windows, bias
    )
    return PulledWindows((windows.with_coefficients(coefficients),)), bias


class _Product(torch.autograd.Function):
    """The product of rows with a weight, and `⟨A, b⟩`, which were computed before.

    Gradients pass as the operator's `forward_windows`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        node_weights: NodeWeights,
        tape: Tape,
        grid: Grid,
        windows: Windows,
        bias: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.node, ctx.tape, ctx.domains = node_weights.node, tape, len(rows)
        ctx.grids, ctx.features = (grid, windows.grid), windows.features
        if ctx.needs_input_grad[0]:
            tape.passed(node_weights.node)
        return windows.coefficients.detach(), None if bias is None else bias.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, of_bias: Tensor | None) -> tuple[Tensor | None, ...]:
        node_weights = ctx.tape.back(ctx.node)
        weights = node_weights.tensors
        rule = RULES[ctx.node.op].forward_windows
        assert rule is not None
        bias_gradient = None if of_bias is None else of_domains(of_bias, ctx.domains)
        grid, inside = ctx.grids
        gradients = rule(
            ctx.node, weights, Windows(gradient, inside, ctx.features), grid, bias_gradient
        )
        return gradients, None, None, None, None, None
