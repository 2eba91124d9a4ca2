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
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.kernels import launcher
from boundmesh.kernels.pieces_pass import Way, in_runs
from boundmesh.kernels.sums import of_domains


@dataclass(frozen=True)
class Nobody:
    """Gradients to α are not asked for."""

    tick: Tensor | None = None
    kinds = False, False
    """Whether α takes steps, and whether its gradient is noted."""

    @property
    def taken(self) -> tuple[Tensor | None, ...]:
        """The moments of α and the pace, then where gradients to α and β are noted."""
        return None, None, None, None, None


@dataclass(frozen=True)
class Steps:
    """α takes a step of Adam along its gradient, in place: moments `[D, S, U]` (bfloat16), and as
    `pace` `[3]` the rate and what the moments are divided by, `1 − 0.9^t` and `1 − 0.999^t`.

    `tick` is a tensor that gradients are asked of, so that autograd comes this way.
    """

    first: Tensor
    second: Tensor
    pace: Tensor
    tick: Tensor
    kinds = True, False

    @property
    def taken(self) -> tuple[Tensor | None, ...]:
        return self.first, self.second, self.pace, None, None


@dataclass(frozen=True)
class Notes:
    """Gradients to α and β are written to `alpha` and `beta`, `[D, S, U]` laid out as these are;
    `tick` as in `Steps`."""

    alpha: Tensor
    beta: Tensor
    tick: Tensor
    kinds = False, True

    @property
    def taken(self) -> tuple[Tensor | None, ...]:
        return None, None, None, self.alpha, self.beta

    def at(self, place: slice) -> Notes:
        """The part of it for these parameters."""
        return Notes(self.alpha[..., place], self.beta[..., place], self.tick)


NOBODY = Nobody()


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
    taker: Nobody | Steps | Notes = NOBODY

    @cached_property
    def parameters(self) -> tuple[Tensor | None, ...]:
        """What the kernels take of a row's own, in their order."""
        own = self.own or (None, None)
        return (*own, self.alpha, self.places, self.beta, self.splits)

    @cached_property
    def kinds(self) -> tuple[bool, bool, bool]:
        """Whether there are α, own bounds and splits."""
        return self.alpha is not None, self.own is not None, self.splits is not None

    @cached_property
    def domains(self) -> int:
        """The domains that the parameters are of."""
        alpha, own, splits = self.alpha, self.own, self.splits
        return max(
            self.lower.shape[0],
            1 if alpha is None else alpha.shape[0],
            1 if own is None else own[0].shape[0],
            1 if splits is None else splits.shape[0],
        )

    def pull(self, rows: Tensor, onto: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rows `[D or 1, S, *]` → the rows at the inputs `[D, S, *]`, and the bias `[D, S]`:

        A⁺·below + A⁻·chord − β·split        onto + ⟨A⁻, intercept⟩
        """
        if not torch.is_grad_enabled():
            return self._way(rows).there(onto)
        rows, tick = rows.contiguous(), self.taker.tick
        return _Pull.apply(self, rows, self.lower, self.upper, tick, onto)

    def bias(self, rows: Tensor) -> Tensor:
        """The bias alone that `pull` gives, without gradients; may write to `rows`.

        The kernel is the same, as another one might add in another order.
        """
        way = self._way(rows)
        return way.bias(way.rows) if way.domains == len(rows) else way.there()[1]

    def _way(self, rows: Tensor) -> Way:
        return Way(self, rows.contiguous(), *in_runs(self.lower, self.upper))


def applies(like: Tensor) -> bool:
    """float32 on a GPU with Triton."""
    return like.is_cuda and like.dtype == torch.float32 and launcher.usable(like.device)


class _Pull(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        pieces: Pieces,
        rows: Tensor,
        lower: Tensor,
        upper: Tensor,
        tick: Tensor | None,
        onto: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.pieces, ctx.earlier = pieces, 0 if onto is None else len(onto)
        ctx.save_for_backward(rows, lower, upper)
        return Way(pieces, rows, *in_runs(lower, upper)).there(onto)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, of_bias: Tensor):
        pieces, (rows, lower, upper) = ctx.pieces, ctx.saved_tensors
        _, to_rows, *to_ends, _, to_onto = ctx.needs_input_grad
        earlier = of_domains(of_bias, ctx.earlier) if to_onto else None
        way = Way(pieces, rows, *in_runs(lower, upper))
        of_bias = of_domains(of_bias, way.domains).contiguous()
        out, sums = way.back(gradient.contiguous(), of_bias, to_rows, any(to_ends))
        ends = (None, None) if sums is None else way.ends(sums)
        return None, out, *ends, None, earlier
