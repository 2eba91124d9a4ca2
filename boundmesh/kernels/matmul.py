"""Multiplies float32 matrices, which Hopper GPUs do by products of bfloat16 matrices.

A float32 is the sum of three bfloat16 numbers of 8 bits, x = x₁ + x₂ + x₃. Of the nine products
in x·y the six largest are taken, each exact, and added in float32; the others are below 2⁻²⁴·|x·y|.
Tensor cores do this faster than other units multiply float32 numbers, and without a workspace. For
random matrices the sums are closer to the exact ones than those of cuBLAS (`benchmarks/matmul.py`).

Each element is summed in the same order, however many other rows and columns a product has.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.kernels.imagined_gpu import imagined

BlockSizes = tuple[int, int, int, int]
"""The rows, columns and depth that a program multiplies at a time, and its number of warps."""

# Each entry holds the fewest rows for which a block size is used, provided that there are enough
# blocks to fill a GPU. All blocks have the same depth, because it determines the order of a sum.
BLOCKS: tuple[tuple[int, BlockSizes], ...] = (
    (512, (128, 128, 64, 8)),
    (64, (64, 64, 64, 4)),
    (48, (16, 64, 64, 4)),
    (0, (16, 32, 64, 4)),
)
# A product with fewer blocks than this leaves much of a GPU idle.
LEAST_BLOCKS = 100
BAND, STAGES = 8, 3
BLOCK_DEPTH, BLOCK_ROUNDINGS = 64, 200
"""The error of the kernel is at most that of BLOCK_ROUNDINGS roundings, plus one more for every
BLOCK_DEPTH terms.

For every 64 products a program computes six sums on tensor cores, from the smallest to the largest,
and then adds them to its total in float32. A tensor core adds 16 exact products at a time and
truncates them below the last bit of the largest, which makes 17 errors of 2u. The last sum takes
four such steps, so its error is 136u relative to what is added. The five sums before it are 2⁻⁷ of
it, and the three products that are left out amount to 2u."""
KERNELS = "kernels.matmul_triton"


def mm(a: Tensor, b: Tensor, out: Tensor | None = None, *, add: bool = False) -> Tensor:
    """Return `A·B`, or `out + A·B` if `add`: A `[S, k]`, B `[k, n]` → `[S, n]`.

    The result is written to `out` if given. The rows of A and `out` need not be adjacent in memory,
    and A and B may be transposed.
    """
    if applies(a, b, out):
        out = a.new_empty(a.shape[0], b.shape[1]) if out is None else out
        return run(a, b, out, blocks(a.shape[0], b.shape[1]), add)
    if add:
        assert out is not None
        return torch.addmm(out, a, b, out=out)
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)


def applies(a: Tensor, b: Tensor, out: Tensor | None = None) -> bool:
    """Return True if the kernel can multiply A and B.

    They must be float32, lie on a GPU on which the kernel is usable, and have a layout it reads.
    """
    return (
        launcher.on_gpu(a)
        and a.dtype == torch.float32
        and 1 in a.stride()
        and 1 in b.stride()
        and (out is None or out.stride(1) == 1)
        and a.numel() > 0
        and b.numel() > 0
        and usable(a.device)
    )


def usable(device: torch.device) -> bool:
    """Return True if the kernel is known to be faster on a GPU of this kind, and correct on it."""
    gpu = imagined(device)
    if gpu is not None:
        return gpu.hopper
    if device.type != "cuda" or not torch.cuda.is_available() or not launcher.available():
        return False
    if torch.cuda.get_device_capability(device)[0] != 9:
        return False
    return launcher.usable(device, "products")


def blocks(rows: int, wide: int) -> BlockSizes:
    """Return the block size for a product of so many rows and columns."""
    for least, block in BLOCKS:
        if rows >= least and (not least or count(rows, wide, block) >= LEAST_BLOCKS):
            return block
    return BLOCKS[-1][1]


def count(rows: int, wide: int, block: BlockSizes) -> int:
    return -(-rows // block[0]) * -(-wide // block[1])


def run(a: Tensor, b: Tensor, out: Tensor, block: BlockSizes, add: bool = False) -> Tensor:
    """Compute `mm` with the kernel, in blocks of a given size."""
    (rows, deep), wide = a.shape, b.shape[1]
    high, across, step, warps = block
    strides = (*a.stride(), *b.stride(), out.stride(0))
    numbers = tuple(map(launcher.divisibility, (wide, deep, *strides)))
    constants = (add, deep % step == 0, high, across, step, BAND)
    grid = (count(rows, wide, block), 1, 1)
    launcher.start(
        launcher.module(KERNELS).product, (numbers, launcher.aligned(a, b, out), *constants), grid,
        a, a, b, out, rows, wide, deep, *strides, *constants,
        num_warps=warps, num_stages=STAGES,
    )  # fmt: skip
    return out
