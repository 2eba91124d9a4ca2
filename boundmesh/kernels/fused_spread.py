"""Convolves rows in windows transposed, in one kernel on GPUs that have Triton.

    y[b, s·i + d·k, o] = Σ_c,k x[b, i, c]·W[c, o, k]

A product with all taps of the kernel and a sum of what overlaps write and read as many times the
memory of the result as the kernel has taps. This kernel gathers each tap's coefficients instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher, matmul
from boundmesh.kernels.fused_windows import Reach, in_three
from boundmesh.kernels.matmul import BLOCK_ROUNDINGS
from boundmesh.kernels.once import stored_table

KERNELS = "kernels.spread_triton"
PART = 1024
"""The numbers of a weight that one program cuts into three parts."""
FEATURES = 16
"""The fewest features that the kernel is used for; its blocks are no narrower."""


@dataclass(frozen=True)
class Block:
    """The part of a product that one program computes.

    high   how many places it has
    wide   how many features it has
    deep   how many channels are multiplied at a time
    warps  how many warps compute it
    """

    high: int
    wide: int
    deep: int
    warps: int


def spread(
    rows: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    dilation: Sequence[int],
    front: Sequence[int],
    window: Sequence[int],
    reach: Reach,
    block: Block | None = None,
    precision: str | None = None,
) -> Tensor:
    """Return rows `[D, S, *places, C]` spread to `[D, S, *window, O]` with W `[C, O, *kernel]`.

    The first `front` places of every axis are left out. The result is zero at the places that do
    not exist. Each number is a sum over the taps and over blocks of channels, in a fixed order.
    Every axis has a stride or a dilation of 1.
    """
    domains, count, *places, channels = rows.shape
    features, kernel = weight.shape[1], weight.shape[2:]
    out = rows.new_empty(domains, count, *window, features)
    if not out.numel():
        return out
    lines, rows = domains * count, rows.contiguous()
    block = block or block_of(channels, features, shallow=channels < 128)
    three = [in_three(each) for each in (places, window, kernel, stride, dilation)]
    most = lines * prod(-(-n // s) for n, s in zip(three[1], three[3], strict=True))
    grid = (-(-most // block.high) * -(-features // block.wide), prod(three[3]), 1)
    in_parts = (precision or precision_of(channels, kernel.numel(), block.deep)) == "bf16x6"
    table = stored_table(weight, parts if in_parts else _by_taps)
    constants = (*three[2], *three[3], *three[4], block.high, block.wide, block.deep, in_parts)
    numbers = map(launcher.divisibility, (channels, features, weight.numel()))
    version_key = (*numbers, block.warps, *constants)
    launcher.start(
        launcher.module(KERNELS).spread, (launcher.aligned(rows, table, out), *version_key), grid,
        out, rows, table, reach.places, out, lines, count, channels, features, weight.numel(),
        *three[0], *in_three(front, 0), three[1][0], *reach.spans, *constants,
        num_warps=block.warps, num_stages=3,
    )  # fmt: skip
    return out


def _by_taps(weight: Tensor) -> Tensor:
    return weight.flatten(2).permute(2, 0, 1).contiguous()


def parts(weight: Tensor) -> Tensor:
    """Return three bfloat16 tables `[3, taps, C, O]` whose sum is W `[C, O, *kernel]`."""
    weight = weight.contiguous()
    channels, features, *kernel = weight.shape
    out = weight.new_empty(3, prod(kernel), channels, features, dtype=torch.bfloat16)
    launcher.start(
        launcher.module(KERNELS).parts, launcher.aligned(weight, out),
        (-(-weight.numel() // PART), 1, 1), weight, weight, out, channels, features, prod(kernel),
        weight.numel(), PART,
    )  # fmt: skip
    return out


def applies(
    rows: Tensor, weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int
) -> bool:
    """Return True if the kernel can multiply the rows, and is usable on their GPU."""
    simple = groups == 1 and all(1 in each for each in zip(stride, dilation, strict=True))
    return (
        simple
        and weight.shape[1] >= FEATURES
        and rows.dtype == weight.dtype == torch.float32
        and usable(rows.device)
    )


def usable(device: torch.device) -> bool:
    """Return True if the kernel is known to be faster on a GPU of this kind, and correct on it."""
    return matmul.usable(device)


def precision_of(channels: int, taps: int, deep: int) -> str:
    """Return how the products are computed.

    Operators count one rounding for every term of a sum. Products of bfloat16 numbers are faster,
    and err by `BLOCK_ROUNDINGS` and one more for every block of channels, so they are used where
    these are fewer.
    """
    blocks = taps * -(-channels // deep)
    return "bf16x6" if BLOCK_ROUNDINGS + blocks <= taps * channels else "ieee"


def block_of(channels: int, features: int, *, shallow: bool = True) -> Block:
    """Return the block size for so many channels and features.

    A program of few channels, `shallow`, takes more places. The order of the sums stays the same.
    """
    wide, deep = (min(most, max(16, power(n))) for most, n in ((64, features), (32, channels)))
    return Block(128 if shallow else 64, wide, deep, 4)


def power(number: int) -> int:
    """Return the smallest power of two that is no smaller than the number."""
    return 1 << (number - 1).bit_length()
