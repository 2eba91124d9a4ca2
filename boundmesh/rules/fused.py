"""Rows through shared lines, sums over rows, and boxes through a weight, each in one pass over
memory, on GPUs that have Triton.

What `Lines.pull` does with five kernels and four copies of a tile, one kernel does reading every
coefficient once and writing it once. Each row is one program that adds its bias in a fixed order,
so bits depend neither on how many rows there are nor on the device's load.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

BLOCK = 1024


@cache
def available() -> bool:
    """Whether Triton is installed; it comes with PyTorch's builds for GPUs."""
    return find_spec("triton") is not None


def on(device: torch.device) -> AbstractContextManager[object]:
    """Kernels are started on `device`."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


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

    with on(rows.device):
        pull_rows[(rows.shape[0] * rows.shape[1],)](
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
        and available()
    )


def signed_inner(rows: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """`⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`: rows `[D or 1, S, *]`, the others `[D or 1, 1, *]`."""
    domains, count = max(len(rows), len(below)), rows.shape[1]
    rows, below, above = (each.flatten(2).contiguous() for each in (rows, below, above))
    out = rows.new_empty(domains, count)
    if not rows.numel():
        return out.zero_()
    from boundmesh.rules.kernel import signed_sums

    size = rows.shape[2]
    with on(rows.device):
        signed_sums[(domains * count,)](
            rows, below, above, out, count, size, count * size if len(rows) > 1 else 0,
            size if len(below) > 1 else 0, BLOCK=BLOCK,
        )  # fmt: skip
    return out


# A box more reads the weight once more: as one product from so many on.
FEW_BOXES = 8


def few_boxes(weight: Tensor, box: Tensor) -> bool:
    """Whether `interval` takes boxes `[*, in]` through this weight."""
    few = 0 < box.numel() <= FEW_BOXES * box.shape[-1] and not box.requires_grad
    return few and box.is_cuda and box.dtype == torch.float32 and available()


def interval(
    weight: Tensor, bias: Tensor | None, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """`W·c + b ± |W|·r`, with c the centre and r the radius: boxes `[*, in]` → `[*, out]`."""
    from boundmesh.rules.kernel import interval_rows

    outputs, inputs = weight.shape
    weight = weight if weight.stride(1) == 1 else weight.contiguous()
    flat = [each.reshape(-1, inputs).contiguous() for each in (lower, upper)]
    found = [each.new_empty(*lower.shape[:-1], outputs) for each in flat]
    if found[0].numel():
        with on(weight.device):
            interval_rows[(outputs, len(flat[0]))](
                weight, bias, *flat, *found, outputs, inputs, weight.stride(0),
                BIAS=bias is not None, BLOCK=BLOCK,
            )  # fmt: skip
    return found[0], found[1]


def _strides(lines: Tensor, size: int) -> tuple[int, int]:
    """How far apart the lines of two domains and of two rows lie; zero where they are shared."""
    domains, rows = lines.shape[:2]
    return (rows * size if domains > 1 else 0), (size if rows > 1 else 0)
