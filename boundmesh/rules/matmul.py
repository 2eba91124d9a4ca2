"""Products of float32 matrices, on Hopper GPUs out of bfloat16 ones.

A float32 is the sum of three bfloat16 numbers of 8 bits, x = x₁ + x₂ + x₃. Of the nine products
in x·y the six largest are taken, each exact, and added in float32; the others are below 2⁻²⁴·|x·y|.
Tensor cores do this faster than other units multiply float32 numbers, and without a workspace; the
result is nearer to the exact one, as fewer roundings go into a sum (`benchmarks/matmul.py`).

Every element is summed in an order that the shapes alone decide.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from boundmesh.rules import fused

# Rows from which on blocks are (high, wide, deep, warps).
TALL = ((512, (128, 128, 32, 8)), (64, (64, 64, 32, 4)), (0, (32, 32, 64, 4)))
# Fewer blocks than this leave much of a GPU idle.
LEAST_BLOCKS = 100
BAND, STAGES = 8, 3


def mm(a: Tensor, b: Tensor, out: Tensor | None = None, *, add: bool = False) -> Tensor:
    """`A·B`, or `out + A·B` where `add`: A `[S, k]`, B `[k, n]` → `[S, n]`, in `out` if given.

    Rows may lie apart in A and `out`; B may be transposed.
    """
    if applies(a, b, out):
        return _kernel(a, b, a.new_empty(len(a), b.shape[1]) if out is None else out, add)
    if add:
        assert out is not None
        return torch.addmm(out, a, b, out=out)
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)


def applies(a: Tensor, b: Tensor, out: Tensor | None = None) -> bool:
    """float32 on a GPU whose tensor cores are known to be faster, in a layout the kernel reads."""
    return (
        a.is_cuda
        and a.dtype == torch.float32
        and 1 in b.stride()
        and a.stride(1) == 1
        and (out is None or out.stride(1) == 1)
        and a.numel() > 0
        and b.numel() > 0
        and _hopper(a.device)
    )


@cache
def _hopper(device: torch.device) -> bool:
    return fused.available() and torch.cuda.get_device_capability(device)[0] == 9


def blocks(rows: int, wide: int) -> tuple[int, int, int, int]:
    """The block `(high, wide, deep)` and warps for a product of so many rows and columns."""
    for least, block in TALL:
        if rows >= least and (not least or count(rows, wide, block) >= LEAST_BLOCKS):
            return block
    return TALL[-1][1]


def count(rows: int, wide: int, block: tuple[int, int, int, int]) -> int:
    return -(-rows // block[0]) * -(-wide // block[1])


def _kernel(a: Tensor, b: Tensor, out: Tensor, add: bool) -> Tensor:
    from boundmesh.rules.matmul_kernel import product

    (rows, deep), wide = a.shape, b.shape[1]
    block = blocks(rows, wide)
    high, across, step, warps = block
    with fused.on(a.device):
        product[(count(rows, wide, block),)](
            a, b, out, rows, wide, deep, a.stride(0), *b.stride(), out.stride(0),
            ADD=add, WHOLE=deep % step == 0, HIGH=high, WIDE=across, DEEP=step, BAND=BAND,
            num_warps=warps, num_stages=STAGES,
        )  # fmt: skip
    return out
