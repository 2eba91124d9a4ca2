"""The memory that operators take beside their results, which torch does not report."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

# `use_mkldnn` in ATen/native/Convolution.cpp: smaller problems are left to torch's own loops.
FEW_NUMBERS, SMALL_KERNEL = 20480, 3
# oneDNN reads the channels of an image with so few of them as they are.
FEW_CHANNELS = 3


def storage_of(operator: Any, given: Sequence[Tensor], result: Tensor) -> int:
    """Return the bytes that a result takes at least.

    `col2im` adds overlapping windows. It makes its result as large as the windows, then calls
    `resize_`, which keeps the memory (Col2Im.cu, im2col.cpp of ATen).
    """
    return given[0].nbytes if operator is torch.ops.aten.col2im else 0


LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The memory format with channels last, by the number of dims."""


def channels_last(x: Tensor) -> bool:
    """Return True if channels follow each other in memory, which oneDNN reads as it is."""
    order = LAST.get(x.dim())
    return order is not None and not x.is_contiguous() and x.is_contiguous(memory_format=order)


def in_order_of(x: Tensor, y: Tensor) -> Tensor:
    """Return y, the result of a convolution of x on a CPU, with channels last if x has them so."""
    if not channels_last(x):
        return y
    return torch.empty(y.shape, dtype=y.dtype, device=y.device, memory_format=LAST[x.dim()])


def of_convolution(
    x: Tensor, weight: Tensor, y: Tensor, stride: Sequence[int], transposed: bool, gpu: bool
) -> int:
    """Return the bytes beside `y`, the result for x `[B, C, *]`.

    Torch's own loops write the windows of an image side by side, `[C·kernel, places]`, of all
    images on a CPU, and of one image at a time on a GPU, where boundmesh turns cuDNN off for
    transposed convolutions in float32. What cuDNN takes for others is not known, and small.

    Otherwise oneDNN runs on a CPU. It copies the input into a layout of its own, computes the
    result there, frees the copy of the input, and copies the result. The layout has channels in
    blocks of 16 or 8, padded with zeros; a transposed convolution with a stride has the channels
    last, without padding, and torch copies its result once more. Where x has the channels last in
    memory, oneDNN takes it as it is.
    """
    if not gpu and x.dtype == torch.float32 and x.stride(1) == 1 and x.shape[1] > 1:
        return 0
    if gpu and not (transposed and x.dtype == torch.float32):
        return 0
    few = len(x) == 1 and max(weight.shape[2:]) <= SMALL_KERNEL and x.numel() <= FEW_NUMBERS
    if gpu or few or x.dtype != torch.float32:
        channels, places = (weight.shape[1], x) if transposed else (x.shape[1], y)
        window = channels * prod(weight.shape[2:])
        return (1 if gpu else len(x)) * window * prod(places.shape[2:]) * x.element_size()
    if channels_last(x):
        return 0
    if transposed and max(stride) > 1:
        return max(x.nbytes, y.nbytes * (2 if y.shape[1] > 1 else 1))
    before = 0 if x.shape[1] <= FEW_CHANNELS and not transposed else _blocked(x)
    after = _blocked(y)
    return max(before + after - y.nbytes, after)


def _blocked(x: Tensor) -> int:
    """Return the bytes of a tensor `[B, C, *]` whose channels are padded to whole blocks."""
    block = 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8
    channels = -(-x.shape[1] // block) * block
    return x.nbytes // x.shape[1] * channels
