"""Rows through shared lines and sums over rows, each in one pass over memory, on GPUs that have
Triton.

What `Lines.pull` does with five kernels and four copies of a tile, one kernel does reading every
coefficient once and writing it once. Each row is one program that adds its bias in a fixed order,
so bits depend neither on how many rows there are nor on the device's load.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.kernels.sums import added

BLOCK = 1024
KERNELS = "kernels.rows_triton"


def applies(rows: Tensor, below: Tensor, above: Tensor, intercept: Tensor | None) -> bool:
    """float32 on a GPU, no gradients wanted, and lines that broadcast over domains and rows."""
    return (
        rows.is_cuda
        and rows.numel() > 0
        and not torch.is_grad_enabled()
        and rows.dtype == torch.float32
        and rows.is_contiguous()
        and len(rows) >= max(len(below), len(above))
        and (intercept is None or len(rows) >= len(intercept))
        and launcher.usable(rows.device)
    )


def pull(
    rows: Tensor, below: Tensor, above: Tensor, intercept: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """`A⁺·below + A⁻·above` and `⟨A⁻, intercept⟩` `[D, S]`.

    rows `[D, S, *]`, the others `[D or 1, S or 1, *]`.
    """
    out = torch.empty_like(rows)
    bias = rows.new_empty(rows.shape[:2])
    size = rows.numel() // (rows.shape[0] * rows.shape[1])
    shift = above if intercept is None else intercept
    lines = [each.expand(*each.shape[:2], *rows.shape[2:]).contiguous()
             for each in (below, above, shift)]  # fmt: skip
    strides = [stride for each in lines for stride in _strides(each, size)]
    with launcher.on(rows.device):
        launcher.module(KERNELS).pull_rows[(rows.shape[0] * rows.shape[1],)](
            rows, *lines, out, bias, rows.shape[1], size, *strides,
            INTERCEPT=intercept is not None, BLOCK=BLOCK,
        )  # fmt: skip
    return out, None if intercept is None else bias


def sums(rows: Tensor, below: Tensor, above: Tensor) -> bool:
    """Whether `signed_inner` takes these: float32 on a GPU, values that all rows share."""
    return (
        rows.is_cuda
        and rows.dtype == torch.float32
        and below.shape == above.shape
        and below.shape[1] == 1
        and launcher.usable(rows.device)
    )


def signed_inner(rows: Tensor, below: Tensor, above: Tensor, onto: Tensor | None = None) -> Tensor:
    """`onto + ⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`; without `onto` `[D or 1, S]` the sums alone.

    rows `[D or 1, S, *]`, the others `[D or 1, 1, *]`.
    """
    (own, count, *shape), others = rows.shape, below.shape[0]
    same = above is below
    rows, below = rows.contiguous(), below.contiguous()
    above = below if same else above.contiguous()
    domains, size = max(own, others), prod(shape)
    out = rows.new_empty(domains, count)
    if not rows.numel():
        return added(onto, out.zero_())
    earlier = within(onto, domains)
    kind = launcher.number(size), launcher.aligned(rows, below, above), earlier is not None
    launcher.start(
        launcher.module(KERNELS).signed_sums, kind, (domains * count, 1, 1), rows,
        rows, below, above, earlier, out, count, size,
        apart(rows), apart(below), apart(earlier), earlier is not None, BLOCK,
    )  # fmt: skip
    return out if onto is None or earlier is not None else added(onto, out)


def within(onto: Tensor | None, domains: int) -> Tensor | None:
    """`onto` `[D or 1, S]` where a kernel that sums rows of so many domains can add to it."""
    return None if onto is None or onto.shape[0] > domains else onto.contiguous()


def apart(values: Tensor | None) -> int:
    """How far apart two domains lie; zero where one stands for all."""
    return 0 if values is None or values.shape[0] == 1 else values.stride(0)


def _strides(lines: Tensor, size: int) -> tuple[int, int]:
    """How far apart the lines of two domains and of two rows lie; zero where they are shared."""
    domains, rows = lines.shape[:2]
    return (rows * size if domains > 1 else 0), (size if rows > 1 else 0)
