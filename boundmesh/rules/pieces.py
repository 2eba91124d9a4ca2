"""Rows through all neurons of two linear pieces in one pass, on GPUs that have Triton.

What lines drawn for undecided neurons, laid over those of decided ones, do in a hundred small
kernels there and back, these do in one there and two back. Nothing but the rows is kept for the way
back, and α, which may be stored in 16 bits, is read where it lies. Its gradient is taken where it
is made: by a step of Adam (`Steps`), or by a note of it (`Notes`); it never is one of autograd.

Every row is summed in a fixed order, and gradients over rows by blocks of fixed height, so bits
depend neither on the device's load nor on how many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.rules import fused

BLOCK = 1024
# Neurons and rows of one program on the way back.
BACK_BLOCK = 256
BACK_ROWS = 16


@dataclass(frozen=True)
class Steps:
    """α takes a step of Adam along its gradient, in place: moments `[D, S, U]` (bfloat16), the rate
    and what the moments are divided by, `1 − 0.9^t` and `1 − 0.999^t`.

    `tick` is a tensor that gradients are asked of, so that autograd comes this way.
    """

    first: Tensor
    second: Tensor
    rate: float
    first_share: float
    second_share: float
    tick: Tensor


@dataclass(frozen=True)
class Notes:
    """Gradients to α and β are written to `alpha` and `beta`, `[D, S, U]` laid out as these are;
    `tick` as in `Steps`."""

    alpha: Tensor
    beta: Tensor
    tick: Tensor


@dataclass(frozen=True)
class Pieces:
    """Lines of `f(x) = x` above zero and `slope·x` below, for every neuron of a node.

    lower, upper  `[D or 1, size]`  bounds of the inputs
    places        `[size]`          int32: which α is a neuron's, −1 where its sign is known
    alpha         `[D, S, U]`       slopes, float16 or float32; None for those that CROWN takes
    own           `[D or 1, U]`     sharper bounds of the neurons that have an α, if there are any
    beta, splits  `[D, S, U]`, `[D, U]`  multipliers and the signs (int8) of split neurons, or None
    """

    slope: float
    lower: Tensor
    upper: Tensor
    places: Tensor | None = None
    alpha: Tensor | None = None
    own: tuple[Tensor, Tensor] | None = None
    beta: Tensor | None = None
    splits: Tensor | None = None
    taker: Steps | Notes | None = None

    @property
    def parameters(self) -> tuple[Tensor | None, ...]:
        """What the kernels take of a row's own, in their order."""
        own = self.own or (None, None)
        return (*own, self.alpha, self.places, self.beta, self.splits)

    @property
    def kinds(self) -> dict[str, bool]:
        """Which of these there are."""
        given = {"ALPHA": self.alpha, "OWN": self.own, "SPLITS": self.splits}
        return {name: each is not None for name, each in given.items()}

    @property
    def domains(self) -> int:
        """The domains that the parameters are of."""
        given = (self.lower, self.alpha, self.own and self.own[0], self.splits)
        return max(len(each) for each in given if each is not None)

    def pull(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `[D or 1, S, size]` → the rows at the inputs `[D, S, size]`, and the bias `[D, S]`:

        A⁺·below + A⁻·chord − β·split        ⟨A⁻, intercept⟩
        """
        if not torch.is_grad_enabled():
            return _there(self, rows.contiguous(), self.lower, self.upper)
        tick = None if self.taker is None else self.taker.tick
        return _Pull.apply(self, rows.contiguous(), self.lower, self.upper, tick)


def applies(like: Tensor) -> bool:
    """float32 on a GPU with Triton."""
    return like.is_cuda and like.dtype == torch.float32 and fused.available()


class _Pull(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, pieces: Pieces, rows: Tensor, lower: Tensor, upper: Tensor, tick: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.pieces = pieces
        ctx.save_for_backward(rows, lower, upper)
        return _there(pieces, rows, lower, upper)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, of_bias: Tensor):
        rows, lower, upper = ctx.saved_tensors
        _, to_rows, to_lower, to_upper, _ = ctx.needs_input_grad
        found = _back(
            ctx.pieces, rows, lower, upper, gradient, of_bias, to_rows, to_lower or to_upper
        )
        return None, *found, None


def _there(pieces: Pieces, rows: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    lower, upper = lower.contiguous(), upper.contiguous()
    domains = max(len(rows), pieces.domains)
    count, size = rows.shape[1:]
    out = rows.new_empty(domains, count, size)
    bias = rows.new_empty(domains, count)
    if not out.numel():
        return out, bias.zero_()
    from boundmesh.rules.pieces_kernel import pull_pieces

    with fused.on(rows.device):
        pull_pieces[(domains * count,)](
            rows, lower, upper, *pieces.parameters, out, bias,
            count, size, pieces.slope, *_strides(pieces, rows, lower),
            **pieces.kinds, BLOCK=BLOCK,
        )  # fmt: skip
    return out, bias


def _back(
    pieces: Pieces,
    rows: Tensor,
    lower: Tensor,
    upper: Tensor,
    gradient: Tensor,
    of_bias: Tensor,
    to_rows: bool,
    to_ends: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    gradient, of_bias = gradient.contiguous(), of_bias.contiguous()
    lower, upper = lower.contiguous(), upper.contiguous()
    domains, count, size = gradient.shape
    blocks, taker = -(-count // BACK_ROWS), pieces.taker
    steps = taker if isinstance(taker, Steps) else None
    notes = taker if isinstance(taker, Notes) else None
    out = torch.empty_like(gradient) if to_rows else None
    sums = gradient.new_empty(domains * blocks, 2, size) if to_ends else None
    ends = [gradient.new_zeros(domains, size) for _ in range(2 * to_ends)]
    if gradient.numel():
        from boundmesh.rules.pieces_kernel import ends_of_pieces, push_pieces

        shares = (steps.rate, steps.first_share, steps.second_share) if steps else (0.0, 1.0, 1.0)
        wide = -(-size // BACK_BLOCK)
        with fused.on(gradient.device):
            push_pieces[(domains * blocks, wide)](
                rows, gradient, of_bias, lower, upper, *pieces.parameters, out, sums,
                steps and steps.first, steps and steps.second,
                notes and notes.alpha, notes and notes.beta,
                count, size, pieces.slope, blocks, *shares,
                *_strides(pieces, rows, lower), **pieces.kinds,
                ROWS=to_rows, ENDS=to_ends, STEP=steps is not None, NOTE=notes is not None,
                HEIGHT=min(BACK_ROWS, count), BLOCK=BACK_BLOCK,
            )  # fmt: skip
            if to_ends:
                ends_of_pieces[(domains, wide)](
                    sums, lower, upper, *ends, size, pieces.slope, blocks,
                    size if len(lower) > 1 else 0, BLOCK=BACK_BLOCK,
                )  # fmt: skip
    if out is not None and len(rows) < domains:
        out = out.sum(0, keepdim=True)
    if not to_ends:
        return out, None, None
    to_lower, to_upper = (each.sum_to_size(lower.shape) for each in ends)
    return out, to_lower, to_upper


def _strides(pieces: Pieces, rows: Tensor, lower: Tensor) -> tuple[int, ...]:
    """How far apart two domains and two rows lie; zero where one stands for all domains."""
    alpha, own = pieces.alpha, pieces.own
    assert pieces.beta is None or alpha is None or alpha.stride() == pieces.beta.stride()
    return (
        _apart(rows),
        rows.stride(1),
        _apart(lower),
        0 if own is None else _apart(own[0]),
        0 if alpha is None else _apart(alpha),
        0 if alpha is None else alpha.stride(1),
        0 if pieces.splits is None else _apart(pieces.splits),
    )


def _apart(values: Tensor) -> int:
    return values.stride(0) if len(values) > 1 else 0
