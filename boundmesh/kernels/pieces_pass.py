"""Starts the kernels that pull rows back through `Pieces` and compute the gradients of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from boundmesh.kernels import fused_rows, launcher
from boundmesh.kernels.gradient_use import GradientUse
from boundmesh.kernels.sums import added

BLOCK = 1024
KERNELS = "kernels.pieces_triton"
# The numbers of neurons and rows that one program of the gradient kernels handles.
BACK_BLOCK = 256
BACK_ROWS = 16


class TwoPieces(Protocol):
    """The lines that rows are pulled back through. `Pieces` describes the fields."""

    @property
    def slope(self) -> float: ...
    @property
    def alpha(self) -> Tensor | None: ...
    @property
    def tighter_bounds(self) -> tuple[Tensor, Tensor] | None: ...
    @property
    def splits(self) -> Tensor | None: ...
    @property
    def gradient_use(self) -> GradientUse: ...
    @property
    def parameters(self) -> tuple[Tensor | None, ...]: ...
    @property
    def flags(self) -> tuple[bool, bool, bool]: ...
    @property
    def domains(self) -> int: ...


@dataclass(frozen=True)
class PiecesPull:
    """One pull of rows through pieces, or its gradients.

    pieces  the lines
    rows    `[D or 1, S, *]`, contiguous
    lower   `[D or 1, *]`: lower bounds of the pre-activations, as `in_runs` returns them
    upper   `[D or 1, *]`: upper bounds of the pre-activations, as `in_runs` returns them
    """

    pieces: TwoPieces
    rows: Tensor
    lower: Tensor
    upper: Tensor

    def pull(self, onto: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the pulled rows, and their bias added to `onto`, an earlier one."""
        out = self.rows.new_empty(self.domains, *self.rows.shape[1:])
        return out, self.bias(out, onto)

    def bias(self, out: Tensor, onto: Tensor | None = None) -> Tensor:
        """Return the bias, and write the pulled rows to `out`, which may be the rows themselves."""
        rows, pieces = self.rows, self.pieces
        count, size = rows.shape[1], self.size
        bias = rows.new_empty(self.domains, count)
        if not bias.numel() or not size:
            return added(onto, bias.zero_())
        earlier = fused_rows.within(onto, self.domains)
        constants = (*pieces.flags, earlier is not None)
        grid = self.domains * count, 1, 1
        launcher.start(
            launcher.module(KERNELS).pull_pieces, (*self.version_key, *constants), grid, rows,
            rows, self.lower, self.upper, *pieces.parameters, earlier, out, bias,
            count, size, pieces.slope, *self.strides, fused_rows.apart(earlier), *constants, BLOCK,
        )  # fmt: skip
        return bias if onto is None or earlier is not None else added(onto, bias)

    def push(
        self, gradient: Tensor, of_bias: Tensor, to_rows: bool, to_ends: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradient to the rows, and sums `[D·blocks, 2, size]` for `bound_gradients`."""
        rows, pieces, gradient_use = self.rows, self.pieces, self.pieces.gradient_use
        domains, count, size = *gradient.shape[:2], self.size
        blocks = -(-count // BACK_ROWS)
        out = torch.empty_like(gradient) if to_rows else None
        sums = gradient.new_empty(domains * blocks, 2, size) if to_ends else None
        if gradient.numel():
            constants = (
                *pieces.flags,
                to_rows,
                to_ends,
                *gradient_use.flags,
                min(BACK_ROWS, count),
            )
            launcher.start(
                launcher.module(KERNELS).push_pieces,
                (*self.version_key, launcher.aligned(gradient), *constants),
                (domains * blocks, -(-size // BACK_BLOCK), 1), rows,
                rows, gradient, of_bias, self.lower, self.upper, *pieces.parameters, out, sums,
                *gradient_use.arguments, count, size, pieces.slope, blocks, *self.strides,
                *constants, BACK_BLOCK,
            )  # fmt: skip
        if out is not None and rows.shape[0] < domains:
            out = out.sum(0, keepdim=True)
        return out, sums

    def bound_gradients(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients to the lower and the upper bounds, each `[D or 1, size]`."""
        size, blocks = self.size, sums.shape[0] // self.domains
        shape = self.domains, *self.lower.shape[1:]
        if not blocks or not size:
            nothing = self.rows.new_zeros(self.lower.shape)
            return nothing, nothing
        ends = self.rows.new_empty(shape), self.rows.new_empty(shape)
        grid = self.domains, -(-size // BACK_BLOCK), 1
        launcher.start(
            launcher.module(KERNELS).ends_of_pieces, self.version_key, grid, sums,
            sums, self.lower, self.upper, *ends, size, self.pieces.slope, blocks,
            fused_rows.apart(self.lower), BACK_BLOCK,
        )  # fmt: skip
        if self.lower.shape[0] < self.domains:
            return ends[0].sum(0, keepdim=True), ends[1].sum(0, keepdim=True)
        return ends

    @cached_property
    def domains(self) -> int:
        return max(self.rows.shape[0], self.pieces.domains)

    @cached_property
    def size(self) -> int:
        return prod(self.rows.shape[2:])

    @property
    def version_key(self) -> tuple[object, ...]:
        """The properties of the arguments that a compiled version of the kernels depends on."""
        alpha, size = self.pieces.alpha, launcher.divisibility(self.size)
        dtype = None if alpha is None else alpha.dtype
        return dtype, size, launcher.aligned(self.rows, self.lower, self.upper)

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides between domains and between rows. A stride is 0 if all domains share."""
        pieces = self.pieces
        alpha, tighter, splits = pieces.alpha, pieces.tighter_bounds, pieces.splits
        return (
            fused_rows.apart(self.rows),
            self.size,
            fused_rows.apart(self.lower),
            fused_rows.apart(tighter and tighter[0]),
            fused_rows.apart(alpha),
            0 if alpha is None else alpha.stride(1),
            fused_rows.apart(splits),
        )


def in_runs(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bounds so that each domain is contiguous and both tensors have equal strides.

    A rank's piece of all bounds already is like that, and is not copied.
    """
    if lower.is_contiguous() and upper.is_contiguous():
        return lower, upper
    if lower.stride() == upper.stride() and lower[0].is_contiguous():
        return lower, upper
    return lower.contiguous(), upper.contiguous()
