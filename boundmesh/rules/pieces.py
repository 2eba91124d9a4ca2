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
from math import prod

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

    lower, upper  `[D or 1, *]`     bounds of the inputs, `size` in all
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
    def kinds(self) -> tuple[bool, bool, bool]:
        """Whether there are α, own bounds and splits."""
        return self.alpha is not None, self.own is not None, self.splits is not None

    @property
    def domains(self) -> int:
        """The domains that the parameters are of."""
        given = (self.lower, self.alpha, self.own and self.own[0], self.splits)
        return max(len(each) for each in given if each is not None)

    def pull(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `[D or 1, S, *]` → the rows at the inputs `[D, S, *]`, and the bias `[D, S]`:

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
        pieces, (rows, lower, upper) = ctx.pieces, ctx.saved_tensors
        _, to_rows, *to_ends, _ = ctx.needs_input_grad
        way = _Way(pieces, rows, lower.contiguous(), upper.contiguous())
        out, sums = way.back(gradient.contiguous(), of_bias.contiguous(), to_rows, any(to_ends))
        ends = (None, None) if sums is None else way.ends(sums)
        return None, out, *ends, None


def _there(pieces: Pieces, rows: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    return _Way(pieces, rows, lower.contiguous(), upper.contiguous()).there()


@dataclass(frozen=True)
class _Way:
    """Rows on their way through pieces, with bounds that lie in one run of memory."""

    pieces: Pieces
    rows: Tensor
    lower: Tensor
    upper: Tensor

    def there(self) -> tuple[Tensor, Tensor]:
        rows, pieces = self.rows, self.pieces
        count, size = rows.shape[1], self.size
        out = rows.new_empty(self.domains, *rows.shape[1:])
        bias = rows.new_empty(self.domains, count)
        if not out.numel():
            return out, bias.zero_()
        from boundmesh.rules.pieces_kernel import pull_pieces

        kinds = pieces.kinds
        fused.start(
            pull_pieces, (*self.kind, *kinds), (self.domains * count, 1, 1), rows,
            rows, self.lower, self.upper, *pieces.parameters, out, bias,
            count, size, pieces.slope, *self.strides, *kinds, BLOCK,
        )  # fmt: skip
        return out, bias

    def back(
        self, gradient: Tensor, of_bias: Tensor, to_rows: bool, to_ends: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradient to the rows, and sums of those to the bounds, `[D·blocks, 2, size]`."""
        rows, pieces, taker = self.rows, self.pieces, self.pieces.taker
        domains, count, size = *gradient.shape[:2], self.size
        blocks = -(-count // BACK_ROWS)
        out = torch.empty_like(gradient) if to_rows else None
        sums = gradient.new_empty(domains * blocks, 2, size) if to_ends else None
        if gradient.numel():
            from boundmesh.rules.pieces_kernel import push_pieces

            steps, notes = isinstance(taker, Steps), isinstance(taker, Notes)
            kinds = (*pieces.kinds, to_rows, to_ends, steps, notes, min(BACK_ROWS, count))
            fused.start(
                push_pieces, (*self.kind, fused.aligned(gradient), *kinds),
                (domains * blocks, -(-size // BACK_BLOCK), 1), rows,
                rows, gradient, of_bias, self.lower, self.upper, *pieces.parameters, out, sums,
                *_taken(taker), count, size, pieces.slope, blocks, *_shares(taker),
                *self.strides, *kinds, BACK_BLOCK,
            )  # fmt: skip
        if out is not None and len(rows) < domains:
            out = out.sum(0, keepdim=True)
        return out, sums

    def ends(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients to lower and upper bounds, `[D or 1, size]`."""
        size, blocks = self.size, len(sums) // self.domains
        shape = self.domains, *self.lower.shape[1:]
        if not blocks or not size:
            nothing = self.rows.new_zeros(self.lower.shape)
            return nothing, nothing
        from boundmesh.rules.pieces_kernel import ends_of_pieces

        ends = self.rows.new_empty(shape), self.rows.new_empty(shape)
        fused.start(
            ends_of_pieces, self.kind, (self.domains, -(-size // BACK_BLOCK), 1), sums,
            sums, self.lower, self.upper, *ends, size, self.pieces.slope, blocks,
            size if len(self.lower) > 1 else 0, BACK_BLOCK,
        )  # fmt: skip
        if len(self.lower) < self.domains:
            return ends[0].sum(0, keepdim=True), ends[1].sum(0, keepdim=True)
        return ends

    @property
    def domains(self) -> int:
        return max(len(self.rows), self.pieces.domains)

    @property
    def size(self) -> int:
        return prod(self.rows.shape[2:])

    @property
    def kind(self) -> tuple[object, ...]:
        """What the kernels are compiled for."""
        alpha, size = self.pieces.alpha, fused.number(self.size)
        kind = None if alpha is None else alpha.dtype
        return kind, size, fused.aligned(self.rows, self.lower, self.upper)

    @property
    def strides(self) -> tuple[int, ...]:
        """How far apart two domains and two rows lie; zero where one stands for all domains."""
        alpha, own, splits = self.pieces.alpha, self.pieces.own, self.pieces.splits
        return (
            self.rows.shape[1] * self.size if len(self.rows) > 1 else 0,
            self.size,
            self.size if len(self.lower) > 1 else 0,
            0 if own is None else _apart(own[0]),
            0 if alpha is None else _apart(alpha),
            0 if alpha is None else alpha.stride(1),
            0 if splits is None else _apart(splits),
        )


def _taken(taker: Steps | Notes | None) -> tuple[Tensor | None, ...]:
    """The moments of α, then where gradients to α and β are noted."""
    if isinstance(taker, Steps):
        return taker.first, taker.second, None, None
    return (None, None, taker.alpha, taker.beta) if taker else (None, None, None, None)


def _shares(taker: Steps | Notes | None) -> tuple[float, float, float]:
    if isinstance(taker, Steps):
        return taker.rate, taker.first_share, taker.second_share
    return 0.0, 1.0, 1.0


def _apart(values: Tensor) -> int:
    return values.stride(0) if len(values) > 1 else 0
