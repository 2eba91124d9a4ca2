"""Pulls rows in windows back through `Pieces` with slopes α, and computes the gradients of that.

A pull is one kernel on GPUs that have Triton, and its gradients are three. Only the rows are stored
for the gradients. α takes its step of Adam where its gradient is computed, if it takes one. A row's
α at a neuron outside of its window has no gradient and stays as it is.

Every row is summed in a fixed order, and gradients over rows are summed in blocks of fixed height.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.kernels import launcher, pieces_pass
from boundmesh.kernels.fused_rows import apart
from boundmesh.kernels.fused_window_sums import collected_after, plan_sums, sums_changed
from boundmesh.kernels.fused_windows import Reach, chunk
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import Collected, of_domains

KERNELS = "kernels.sloped_windows_triton"
BLOCK = 1024
BACK_ROWS, BACK_BLOCK = 16, 128
"""The numbers of rows and neurons that one program sums gradients over."""


def usable(like: Tensor) -> bool:
    """Return True if the kernels can be used for rows of the dtype and device of `like`."""
    return (
        launcher.on_gpu(like)
        and like.dtype == torch.float32
        and launcher.usable(like.device)
        and launcher.usable(like.device, "sloped windows")
    )


def applies(pieces: Pieces, rows: Tensor) -> bool:
    """Return True if `pull` can pull rows in windows back through the pieces."""
    given = pieces.alpha is not None and pieces.index is not None
    return given and pieces.tighter_bounds is None and pieces.splits is None and usable(rows)


def pull(pieces: Pieces, rows: Tensor, reach: Reach, before: Collected) -> tuple[Tensor, Collected]:
    """Pull rows A `[D or 1, S, *window, C]` back: the rows, and what they have collected then.

    A⁺·below + A⁻·chord        bias + ⟨A⁻, intercept⟩
    """
    rows, tick = rows.contiguous(), pieces.gradient_use.tick
    if not torch.is_grad_enabled():
        return _pull_rows(pieces, rows, reach, before)
    out, bias, error = _Pull.apply(
        pieces, rows, reach, pieces.lower, pieces.upper, tick, before.bias, before
    )
    return out, Collected(bias, error)


class _Pull(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pieces: Pieces,
        rows: Tensor,
        reach: Reach,
        lower: Tensor,
        upper: Tensor,
        tick: Tensor | None,
        onto: Tensor | None,
        before: Collected,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        ctx.pieces, ctx.reach, ctx.earlier = pieces, reach, 0 if onto is None else len(onto)
        ctx.save_for_backward(rows, lower, upper)
        out, after = _pull_rows(pieces, rows, reach, Collected(onto, before.error, before.due))
        error = None if after.error is None else after.error.detach()
        if error is not None:
            ctx.mark_non_differentiable(error)
        return out, after.bias, error

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, of_bias: Tensor, _: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        pieces, (rows, _, _) = ctx.pieces, ctx.saved_tensors
        _, to_rows, _, *to_ends, _, to_onto, _ = ctx.needs_input_grad
        earlier = of_domains(of_bias, ctx.earlier) if to_onto else None
        of_bias = of_domains(of_bias, max(len(rows), pieces.domains)).contiguous()
        gradient = gradient.contiguous()
        # The sums over rows come first, because they read no α, and the step changes α.
        ends = (
            _bound_gradients(pieces, rows, ctx.reach, gradient, of_bias)
            if any(to_ends)
            else (None, None)
        )
        out = _push_gradients(pieces, rows, ctx.reach, gradient, of_bias, to_rows)
        return None, out, None, *ends, None, earlier, None


def _pull_rows(
    pieces: Pieces, rows: Tensor, reach: Reach, before: Collected
) -> tuple[Tensor, Collected]:
    (lower, upper), due = pieces.shared.bounds_last, before.due
    domains = max(len(rows), pieces.domains, 1 if due is None else len(due))
    plan = plan_sums(rows, domains, sums_changed(before))
    out = rows.new_empty(domains, *rows.shape[1:])
    if out.numel():
        alpha, sizes, constants = _alpha(pieces), rows if due is None else due, plan.constants
        launcher.start(
            launcher.module(KERNELS).pull_sloped,
            (launcher.aligned(rows, lower, upper, sizes, out), alpha.dtype, *constants), plan.grid,
            rows, rows, lower, upper, pieces.shared.places_last, alpha, sizes, reach.places,
            plan.onto[0], plan.onto[-1], out, plan.sums[0], plan.sums[-1], float(pieces.slope),
            *plan.lengths,
            apart(rows), apart(lower), apart(alpha), alpha.stride(1),
            0 if due is None else apart(due), apart(plan.onto[0]), apart(plan.onto[-1]),
            *reach.spans, *constants, num_warps=plan.warps,
        )  # fmt: skip
    return out, collected_after(plan, before)


def _push_gradients(
    pieces: Pieces, rows: Tensor, reach: Reach, gradient: Tensor, of_bias: Tensor, to_rows: bool
) -> Tensor | None:
    """Return the gradient to the rows, and let α take its step."""
    lower, upper = pieces.shared.bounds_last
    domains, count, size = *gradient.shape[:2], prod(rows.shape[2:])
    out = torch.empty_like(gradient) if to_rows else None
    step, noted = pieces.gradient_use.flags
    assert not noted, "gradients to the slopes of windows are not written to tensors"
    first, second, pace, _, _ = pieces.gradient_use.arguments
    if gradient.numel():
        alpha, wide = _alpha(pieces), chunk(rows.shape[-1])
        constants = to_rows, step, wide, BLOCK
        launcher.start(
            launcher.module(KERNELS).push_sloped,
            (launcher.aligned(rows, gradient, lower, upper), alpha.dtype, *constants),
            (domains * count, -(-size // BLOCK), 1), rows, rows, gradient, of_bias, lower, upper,
            pieces.shared.places_last, alpha, reach.places, out, first, second, pace,
            float(pieces.slope), count, size // wide, rows.shape[-1] // wide, apart(rows),
            apart(lower), apart(alpha), alpha.stride(1), *reach.spans, *constants,
        )  # fmt: skip
    if out is not None and len(rows) < domains:
        return out.sum(0, keepdim=True)
    return out


def _bound_gradients(
    pieces: Pieces, rows: Tensor, reach: Reach, gradient: Tensor, of_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients to the lower and the upper bounds, which are zero where no α is."""
    index, (lower, upper) = pieces.shared.index, pieces.shared.bounds_of_open
    whole = pieces.lower.flatten(1), pieces.upper.flatten(1)
    (domains, count), neurons = gradient.shape[:2], len(index)
    found = [rows.new_zeros(domains, end.shape[1]) for end in whole]
    blocks = -(-count // BACK_ROWS)
    if gradient.numel() and neurons:
        sums = rows.new_empty(domains * blocks, 2, neurons)
        across = -(-neurons // BACK_BLOCK)
        launcher.start(
            launcher.module(KERNELS).sum_sloped, launcher.aligned(rows, gradient, lower, upper),
            (domains * blocks, across, 1), rows, rows, gradient, of_bias, lower, upper, index,
            reach.places, sums, float(pieces.slope), count, neurons, rows.shape[-1], apart(rows),
            apart(lower), rows.shape[2] if rows.dim() == 6 else 1, *reach.spans, BACK_ROWS,
            BACK_BLOCK,
        )  # fmt: skip
        to_ends = rows.new_empty(2, domains, neurons)
        version_key = launcher.divisibility(neurons), launcher.aligned(sums, lower, upper, *to_ends)
        launcher.start(
            launcher.module(pieces_pass.KERNELS).ends_of_pieces, ("windows", *version_key),
            (domains, -(-neurons // pieces_pass.BACK_BLOCK), 1), sums, sums, lower, upper,
            *to_ends, neurons, pieces.slope, blocks, apart(lower), pieces_pass.BACK_BLOCK,
        )  # fmt: skip
        for each, at_index in zip(found, to_ends, strict=True):
            each.index_copy_(1, index, at_index)
    shape = pieces.lower.shape
    if shape[0] < domains:
        found = [each.sum(0, keepdim=True) for each in found]
    return found[0].reshape(shape), found[1].reshape(shape)


def _alpha(pieces: Pieces) -> Tensor:
    assert pieces.alpha is not None
    return pieces.alpha
