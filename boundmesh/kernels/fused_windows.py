"""Starts kernels for rows in windows, each in one pass over memory, on GPUs that have Triton.

Without them a read of maps at the windows takes a table of places and a copy for each map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher

BLOCK = 1024
WIDEST = 64
"""The most features whose place the kernels compute once; more would be fewer, longer steps."""
KERNELS = "kernels.windows_triton"


Axes = tuple[int, ...]
"""A number for each of three axes."""


@dataclass(frozen=True)
class Reach:
    """Where the windows of S rows lie, as the kernels take it.

    places  `[S, 3]` (int64), the place of each row's neuron along three axes
    steps, shifts, lengths, wholes  the windows along three axes, as `Span` describes them
    """

    places: Tensor
    steps: Axes
    shifts: Axes
    lengths: Axes
    wholes: Axes

    @property
    def spans(self) -> tuple[int, ...]:
        """The numbers by which kernels find the places of windows in their maps."""
        return (*self.lengths[1:], *self.steps, *self.shifts, *self.wholes)

    @staticmethod
    def of(places: Tensor, spans: Sequence[tuple[int, int, int, int]]) -> Reach:
        """Create it from places `[S, 3]` and the step, shift, length and whole of each axis."""
        three = [(0, 0, 1, 1)] * (3 - len(spans)) + [*spans]
        steps, shifts, lengths, wholes = zip(*three, strict=True)
        return Reach(places, steps, shifts, lengths, wholes)


def applies_without_gradients(rows: Tensor) -> bool:
    """Return True if the kernels can be used, and no gradients are computed."""
    return applies(rows) and not torch.is_grad_enabled()


def applies(rows: Tensor) -> bool:
    """Return True if the kernels can be used: float32 on a GPU.

    They compute no gradients, so the caller must need none of them or compute them by itself.
    """
    return usable(rows.device, rows.dtype)


def usable(device: torch.device, dtype: torch.dtype) -> bool:
    """Return True if the kernels can be used for rows of this type on a device."""
    return dtype == torch.float32 and launcher.usable(device, "windows")


def fold(
    columns: Tensor,
    out: Tensor,
    first_row: int,
    window: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    front: Sequence[int],
    reach: Reach,
) -> None:
    """Write the sums of overlapping columns `[B, window·kernel·C]` to B rows of `out`.

    out is `[D, S, *reached, C]`, contiguous, without the first `front` places of every axis; the
    rows begin at `first_row` of its D·S rows.
    """
    count, size = out.shape[1], prod(out.shape[2:])
    three = [in_three(each) for each in (window, kernel, stride, dilation)]
    wide = chunk(out.shape[-1])
    constants = (*(length for each in three[1:] for length in each), wide, BLOCK)
    launcher.start(
        launcher.module(KERNELS).fold, (launcher.aligned(columns, out), *constants),
        (len(columns), -(-size // BLOCK), 1), out, columns, reach.places, out, first_row, count,
        size // wide, out.shape[-1] // wide, *three[0], *in_three(front, 0),
        *reach.spans, *constants,
    )  # fmt: skip


def joined(
    first: Tensor,
    first_reach: Reach,
    second: Tensor | None,
    second_reach: Reach | None,
    reach: Reach,
) -> Tensor:
    """Return rows `[D, S, *window, C]` in windows that contain theirs, or the sum of two such rows.

    one and two are `[D or 1, S, *window, C]`, each in windows of its own.
    """
    second_reach = second_reach or first_reach
    other = first if second is None else second
    first, other = first.contiguous(), other.contiguous()
    domains, count, features = max(len(first), len(other)), first.shape[1], first.shape[-1]
    out = first.new_empty(domains, count, *reach.lengths[-(first.dim() - 3) :], features)
    if not out.numel():
        return out
    wide, size = chunk(features), prod(out.shape[2:])
    sizes = [prod(each.shape[2:]) // wide for each in (first, other)]
    domain_strides = [
        0 if len(each) == 1 else count * n for each, n in zip((first, other), sizes, strict=True)
    ]
    constants = second is not None, wide, BLOCK
    launcher.start(
        launcher.module(KERNELS).joined, (launcher.aligned(first, other, out), *constants),
        (domains * count, -(-size // BLOCK), 1), out, first, other, reach.places, out, count,
        size // wide, features // wide, *sizes, *domain_strides, *reach.lengths[1:], *reach.steps,
        *reach.shifts, *first_reach.steps, *first_reach.shifts, *first_reach.lengths,
        *second_reach.steps, *second_reach.shifts, *second_reach.lengths, *constants,
    )  # fmt: skip
    return out


def in_three(lengths: Sequence[int], missing: int = 1) -> Axes:
    """Return numbers of up to three axes with `missing` for those in front that a map lacks."""
    return (missing,) * (3 - len(lengths)) + tuple(lengths)


def chunk(features: int) -> int:
    """Return the largest power of two, up to `WIDEST`, that divides the number of features."""
    return min(features & -features, WIDEST)
