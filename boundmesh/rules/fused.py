"""Rows through shared lines in one pass over memory, on GPUs that have Triton.

What `Lines.pull` does with five kernels and four copies of a tile, one kernel does reading every
coefficient once and writing it once. Each row is one program that adds its bias in a fixed order,
so bits depend neither on how many rows there are nor on the device's load.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

BLOCK = 1024


@cache
def available() -> bool:
    """Whether Triton is installed; it comes with PyTorch's builds for GPUs."""
    return find_spec("triton") is not None


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
        and available()
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
    # Triton is imported where there is a GPU to run it.
    from boundmesh.rules.kernel import pull_rows

    with torch.cuda.device(rows.device):
        pull_rows[(rows.shape[0] * rows.shape[1],)](
            rows, *lines, out, bias, rows.shape[1], size, *strides,
            INTERCEPT=intercept is not None, BLOCK=BLOCK,
        )  # fmt: skip
    return out, None if intercept is None else bias


def _strides(lines: Tensor, size: int) -> tuple[int, int]:
    """How far apart the lines of two domains and of two rows lie; zero where they are shared."""
    domains, rows = lines.shape[:2]
    return (rows * size if domains > 1 else 0), (size if rows > 1 else 0)
