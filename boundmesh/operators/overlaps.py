"""Transposed convolutions on GPUs, computed as one matrix product and a sum of overlapping windows.

    y[b, o, s·i + d·k − p] += Σ_c x[b, c, i]·W[c, o, k]

cuDNN may compute float32 convolutions by a Fourier or a Winograd transform. Its error at one place
is relative to the numbers around it, so no bound of the form γ·Σ|x|·|W| holds. That bound does hold
for a matrix product followed by `fold`, which adds up the overlaps.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.operators.node import Node

MOST = 2**23
"""The most numbers that are written to memory at a time before they are added up."""


def applies(node: Node, x: Tensor) -> bool:
    """Return True if `scatter_columns` can be used.

    It needs float32 on a GPU, one group, one or two spatial axes, and no gradient to be recorded.
    """
    return (
        launcher.on_gpu(x)
        and x.dtype == torch.float32
        and not (x.requires_grad and torch.is_grad_enabled())
        and node["groups"] == 1
        and len(node["stride"]) <= 2
    )


def scatter_columns(
    node: Node, x: Tensor, weight: Tensor, common: list[int], output_padding: list[int]
) -> Tensor:
    """Return the transposed convolution of x `[B, C, *spatial]` with W `[C, O, *kernel]`.

    No bias is added.
    """
    kernel, spatial = tuple(weight.shape[2:]), tuple(x.shape[2:])
    stride, dilation = tuple(node["stride"]), tuple(node["dilation"])
    lengths = tuple(
        s * (n - 1) + d * (k - 1) + 1 - 2 * p + more
        for n, k, s, d, p, more in zip(
            spatial, kernel, stride, dilation, common, output_padding, strict=True
        )
    )
    by_output = weight.flatten(1).mT
    height = max(1, MOST // max(1, len(by_output) * prod(spatial)))
    ahead = (1,) * (2 - len(kernel))
    none = (0,) * len(ahead)
    y = x.new_empty(len(x), weight.shape[1], *ahead, *lengths)
    # `fold` would make each result as large as the windows and keep that memory, so `out` is given.
    for part, out in zip(x.split(height), y.split(height), strict=True):
        torch.ops.aten.col2im.out(
            torch.matmul(by_output, part.flatten(2)),
            (*ahead, *lengths),
            (*ahead, *kernel),
            (*ahead, *dilation),
            (*none, *common),
            (*ahead, *stride),
            out=out,
        )
    return y.reshape(len(x), weight.shape[1], *lengths)
