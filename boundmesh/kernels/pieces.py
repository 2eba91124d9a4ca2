"""Pulls rows back through a ReLU-like operator in one pass, on GPUs that have Triton.

Without them the lines of unstable neurons are computed and merged with those of stable neurons,
which takes about a hundred small kernels for a pull and its gradients. Here a pull is one kernel,
and its gradients are two. Only the rows are stored for the gradients. α may be stored in 16 bits
and is never copied. Its gradient is used where it is computed, by a step of Adam, or by writing it
to a given tensor: see `gradient_use.py`. autograd never holds it.

Every row is summed in a fixed order, and gradients over rows are summed in blocks of fixed height.
So bits depend neither on the load of the device nor on the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.kernels import launcher
from boundmesh.kernels.fused_window_sums import lines_of
from boundmesh.kernels.gradient_use import NO_GRADIENT, GradientUse
from boundmesh.kernels.once import forbid_in_recording
from boundmesh.kernels.pieces_pass import PiecesPull, in_runs
from boundmesh.kernels.sums import of_domains


@dataclass(frozen=True)
class Maps:
    """The bounds of a map and the places of its slopes, which the kernels of all tiles read.

    lower   `[D or 1, 1, C, *spatial]`: lower bounds of the pre-activations
    upper   `[D or 1, 1, C, *spatial]`: upper bounds of the pre-activations
    places  `[size]`, int32: the index of each neuron's α, or −1 if its sign is known
    index   `[U]`: the flat neurons that have an α
    """

    lower: Tensor
    upper: Tensor
    places: Tensor
    index: Tensor

    @cached_property
    def bounds_last(self) -> tuple[Tensor, Tensor]:
        """The bounds as `[D or 1, places, C]`."""
        return _features_last(self.lower), _features_last(self.upper)

    @cached_property
    def places_last(self) -> Tensor:
        """`places` as `[places, C]`."""
        return self.places.reshape(self.lower.shape[2], -1).mT.contiguous()

    @cached_property
    def bounds_of_open(self) -> tuple[Tensor, Tensor]:
        """The bounds of the neurons that have an α, `[D or 1, U]`."""
        lower, upper = self.lower.flatten(1), self.upper.flatten(1)
        return lower.index_select(1, self.index), upper.index_select(1, self.index)


@dataclass(frozen=True)
class Pieces:
    """The lines of `f(x) = x` above zero and `slope·x` below, for every neuron of a node.

    slope   s, the slope of f below zero
    lower   `[D or 1, *]`: lower bounds of the pre-activations
    upper   `[D or 1, *]`: upper bounds of the pre-activations
    places  `[size]`, int32: the index of each neuron's α, or −1 if its sign is known
    alpha   `[D, S, U]`, float16 or float32: α; None stands for the α of CROWN
    tighter_bounds
            two tensors `[D or 1, U]`: tighter bounds of the neurons that have an α, or None
    beta    `[D, S, U]`: the multipliers β of split neurons, or None
    splits  `[D, U]`, int8: the signs of split neurons, or None
    gradient_use
            what is done with the gradient to α
    index   `[U]`: the flat neurons that have an α; only rows in windows need it
    maps    what all tiles share if rows lie in windows (None: it is computed for these pieces)
    """

    slope: float
    lower: Tensor
    upper: Tensor
    places: Tensor | None = None
    alpha: Tensor | None = None
    tighter_bounds: tuple[Tensor, Tensor] | None = None
    beta: Tensor | None = None
    splits: Tensor | None = None
    gradient_use: GradientUse = NO_GRADIENT
    index: Tensor | None = None
    maps: Maps | None = None

    @cached_property
    def parameters(self) -> tuple[Tensor | None, ...]:
        """The parameters that the kernels take, in their order."""
        tighter = self.tighter_bounds or (None, None)
        return (*tighter, self.alpha, self.places, self.beta, self.splits)

    @cached_property
    def flags(self) -> tuple[bool, bool, bool]:
        """Three flags: there are α, there are tighter bounds, and there are splits."""
        return self.alpha is not None, self.tighter_bounds is not None, self.splits is not None

    @cached_property
    def shared(self) -> Maps:
        """The bounds and places that all tiles of rows in windows share; there must be an α."""
        if self.maps is not None:
            return self.maps
        assert self.places is not None and self.index is not None
        return Maps(self.lower, self.upper, self.places, self.index)

    @cached_property
    def lines_last(self) -> Tensor:
        """CROWN's lines `[3, D or 1, places, C]` on the bounds of maps, as `lines_of` has them."""
        forbid_in_recording()
        return lines_of(_features_last(self.lower), _features_last(self.upper), self.slope)

    @cached_property
    def domains(self) -> int:
        """The number of domains of the parameters."""
        alpha, tighter, splits = self.alpha, self.tighter_bounds, self.splits
        return max(
            self.lower.shape[0],
            1 if alpha is None else alpha.shape[0],
            1 if tighter is None else tighter[0].shape[0],
            1 if splits is None else splits.shape[0],
        )

    def pull(self, rows: Tensor, onto: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pull rows A `[D or 1, S, *]` back, and return the rows `[D, S, *]` and the bias `[D, S]`:

        A⁺·below + A⁻·chord − β·split        onto + ⟨A⁻, intercept⟩
        """
        if not torch.is_grad_enabled():
            return self._pull_of(rows).pull(onto)
        rows, tick = rows.contiguous(), self.gradient_use.tick
        result: tuple[Tensor, Tensor] = _Pull.apply(self, rows, self.lower, self.upper, tick, onto)
        return result

    def bias(self, rows: Tensor) -> Tensor:
        """Return only the bias of `pull`, without gradients. `rows` may be overwritten.

        The kernel is the same, because another one might add in another order.
        """
        pieces_pull = self._pull_of(rows)
        return (
            pieces_pull.bias(pieces_pull.rows)
            if pieces_pull.domains == len(rows)
            else pieces_pull.pull()[1]
        )

    def _pull_of(self, rows: Tensor) -> PiecesPull:
        return PiecesPull(self, rows.contiguous(), *in_runs(self.lower, self.upper))


def _features_last(end: Tensor) -> Tensor:
    return end.reshape(len(end), end.shape[2], -1).mT.contiguous()


def applies(like: Tensor) -> bool:
    """Return True if the kernels can be used: float32 on a GPU with kernels turned on."""
    return launcher.on_gpu(like) and like.dtype == torch.float32 and launcher.usable(like.device)


class _Pull(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pieces: Pieces,
        rows: Tensor,
        lower: Tensor,
        upper: Tensor,
        tick: Tensor | None,
        onto: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.pieces, ctx.earlier = pieces, 0 if onto is None else len(onto)
        ctx.save_for_backward(rows, lower, upper)
        return PiecesPull(pieces, rows, *in_runs(lower, upper)).pull(onto)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, of_bias: Tensor) -> tuple[Tensor | None, ...]:
        pieces, (rows, lower, upper) = ctx.pieces, ctx.saved_tensors
        _, to_rows, *to_ends, _, to_onto = ctx.needs_input_grad
        earlier = of_domains(of_bias, ctx.earlier) if to_onto else None
        pieces_pull = PiecesPull(pieces, rows, *in_runs(lower, upper))
        of_bias = of_domains(of_bias, pieces_pull.domains).contiguous()
        out, sums = pieces_pull.push(gradient.contiguous(), of_bias, to_rows, any(to_ends))
        ends = (None, None) if sums is None else pieces_pull.bound_gradients(sums)
        return None, out, *ends, None, earlier
