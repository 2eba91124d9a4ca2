"""Products of float32 matrices, on Hopper GPUs out of bfloat16 ones.

A float32 is the sum of three bfloat16 numbers of 8 bits, x = x₁ + x₂ + x₃. Of the nine products
in x·y the six largest are taken, each exact, and added in float32; the others are below 2⁻²⁴·|x·y|.
Tensor cores do this faster than other units multiply float32 numbers, and without a workspace;
random sums come out nearer to the exact ones than cuBLAS's (`benchmarks/matmul.py`).

Every element is summed in one order, whatever the other rows and columns of a product are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.kernels import launcher

Block = tuple[int, int, int, int]
"""Rows, columns and depth of what a program multiplies at a time, and its warps."""

# Rows from which on blocks are so large, if they are enough to fill a GPU. All are equally deep, as
# the depth decides the order of a sum.
BLOCKS: tuple[tuple[int, Block], ...] = (
    (512, (128, 128, 64, 8)),
    (64, (64, 64, 64, 4)),
    (48, (16, 64, 64, 4)),
    (0, (16, 32, 64, 4)),
)
# Fewer blocks than this leave much of a GPU idle.
LEAST_BLOCKS = 100
BAND, STAGES = 8, 3
BLOCK_DEPTH, BLOCK_ROUNDINGS = 64, 200
"""The kernel errs by no more than a sum that passes BLOCK_ROUNDINGS roundings, and one more for
every BLOCK_DEPTH terms.

Of every 64 products a program adds six sums on tensor cores, from the smallest on, and then to its
total in float32. A tensor core adds 16 exact products at a time and cuts off what lies below the
last bit of the largest: 17 errors of 2u. The last sum takes four such steps, 136u relative to what
is added; the five before are 2⁻⁷ of it, and the three products that are left out 2u."""
KERNELS = "kernels.matmul_triton"


def mm(a: Tensor, b: Tensor, out: Tensor | None = None, *, add: bool = False) -> Tensor:
    """`A·B`, or `out + A·B` where `add`: A `[S, k]`, B `[k, n]` → `[S, n]`, in `out` if given.

    Rows may lie apart in A and `out`; A and B may be transposed.
    """
    if applies(a, b, out):
        out = a.new_empty(a.shape[0], b.shape[1]) if out is None else out
        return run(a, b, out, blocks(a.shape[0], b.shape[1]), add)
    if add:
        assert out is not None
        return torch.addmm(out, a, b, out=out)
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)


def applies(a: Tensor, b: Tensor, out: Tensor | None = None) -> bool:
    """float32 on a GPU whose tensor cores are known to be faster, in a layout the kernel reads."""
    return (
        a.is_cuda
        and a.dtype == torch.float32
        and 1 in a.stride()
        and 1 in b.stride()
        and (out is None or out.stride(1) == 1)
        and a.numel() > 0
        and b.numel() > 0
        and usable(a.device)
    )


def usable(device: torch.device) -> bool:
    """Whether a GPU is of a kind on which the kernel is known to be faster, and computes there what
    is asked of it."""
    if device.type != "cuda" or not torch.cuda.is_available() or not launcher.available():
        return False
    if torch.cuda.get_device_capability(device)[0] != 9:
        return False
    return launcher.usable(device, "products")


def blocks(rows: int, wide: int) -> Block:
    """The block for a product of so many rows and columns."""
    for least, block in BLOCKS:
        if rows >= least and (not least or count(rows, wide, block) >= LEAST_BLOCKS):
            return block
    return BLOCKS[-1][1]


def count(rows: int, wide: int, block: Block) -> int:
    return -(-rows // block[0]) * -(-wide // block[1])


def run(a: Tensor, b: Tensor, out: Tensor, block: Block, add: bool = False) -> Tensor:
    """`mm` by the kernel, in blocks of a given size."""
    (rows, deep), wide = a.shape, b.shape[1]
    high, across, step, warps = block
    strides = (*a.stride(), *b.stride(), out.stride(0))
    numbers = tuple(map(launcher.number, (wide, deep, *strides)))
    kinds = (add, deep % step == 0, high, across, step, BAND)
    grid = (count(rows, wide, block), 1, 1)
    launcher.start(
        launcher.module(KERNELS).product, (numbers, launcher.aligned(a, b, out), *kinds), grid, a,
        a, b, out, rows, wide, deep, *strides, *kinds,
        num_warps=warps, num_stages=STAGES,
    )  # fmt: skip
    return out
