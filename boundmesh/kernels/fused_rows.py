"""Pulls rows back through lines and sums over rows by kernels, each in one pass over memory.

Without them `Lines.pull` takes five kernels and four copies of a tile of rows. The kernel here
reads every coefficient once and writes it once. Each row is one program, which adds up its bias in
a fixed order. So the bits of a result depend neither on the number of rows nor on the load of the
device.
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
    """Return True if `pull` can be used.

    It needs float32 on a GPU with kernels turned on, no gradients, and lines that broadcast over
    domains and rows.
    """
    return (
        launcher.on_gpu(rows)
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
    """Return `A⁺·below + A⁻·above` `[D, S, *]` and `⟨A⁻, intercept⟩` `[D, S]`.

    A = rows `[D, S, *]`; the other tensors are `[D or 1, S or 1, *]`.
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
    """Return True if `signed_inner` can be used: float32 on a GPU, and values all rows share."""
    return (
        launcher.on_gpu(rows)
        and rows.dtype == torch.float32
        and below.shape == above.shape
        and below.shape[1] == 1
        and launcher.usable(rows.device)
    )


def signed_inner(rows: Tensor, below: Tensor, above: Tensor, onto: Tensor | None = None) -> Tensor:
    """Return `onto + ⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`, where `onto` may be None for zero.

    A = rows `[D or 1, S, *]`, below and above `[D or 1, 1, *]`, onto `[D or 1, S]`.
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
    version_key = (
        launcher.divisibility(size),
        launcher.aligned(rows, below, above),
        earlier is not None,
    )
    launcher.start(
        launcher.module(KERNELS).signed_sums, version_key, (domains * count, 1, 1), rows,
        rows, below, above, earlier, out, count, size,
        apart(rows), apart(below), apart(earlier), earlier is not None, BLOCK,
    )  # fmt: skip
    return out if onto is None or earlier is not None else added(onto, out)


def within(onto: Tensor | None, domains: int) -> Tensor | None:
    """Return `onto` `[D or 1, S]` if a kernel that sums over so many domains can add to it.

    Otherwise return None.
    """
    return None if onto is None or onto.shape[0] > domains else onto.contiguous()


def apart(values: Tensor | None) -> int:
    """Return the stride between two domains, which is 0 if all domains share one entry."""
    return 0 if values is None or values.shape[0] == 1 else values.stride(0)


def _strides(lines: Tensor, size: int) -> tuple[int, int]:
    """Return the strides between domains and between rows, which are 0 where lines are shared."""
    domains, rows = lines.shape[:2]
    return (rows * size if domains > 1 else 0), (size if rows > 1 else 0)
