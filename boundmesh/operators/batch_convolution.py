"""Convolution and transposed convolution of a batch `[B, C, *spatial]`, in one to three dimensions.

Each is the transpose of the other. The padding before and after an axis may differ. torch only
applies padding that is equal on both sides, so the rest is added, or cut off, separately.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.kernels import launcher
from boundmesh.operators import overlaps, patches
from boundmesh.operators.node import Node

CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSE = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def summed(x: Tensor) -> AbstractContextManager[object]:
    """Return a context in which a float32 convolution on a GPU is computed as sums of products.

    cuDNN is turned off there, because it may transform the maps instead, and no bound on sums
    covers that. The context changes nothing on a CPU, in float64, or when gradients are recorded.
    """
    recorded = x.requires_grad and torch.is_grad_enabled()
    if launcher.on_gpu(x) and x.dtype == torch.float32 and not recorded:
        return torch.backends.cudnn.flags(enabled=False, allow_tf32=False)
    return nullcontext()


def common_padding(node: Node) -> list[int]:
    """Return the padding of each spatial axis that is present on both of its sides."""
    return [min(before, after) for before, after in node["padding"]]


def convolve(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the convolution of x `[B, C, *spatial]` with W `[O, C/groups, *kernel]`."""
    common = common_padding(node)
    pairs = zip(node["padding"], common, strict=True)
    extra = [(before - shared, after - shared) for (before, after), shared in pairs]
    if any(before or after for before, after in extra):
        x = functional.pad(x, [width for pair in reversed(extra) for width in pair])
    convolution = CONVOLVE[len(common)]
    return convolution(x, weight, bias, node["stride"], common, node["dilation"], node["groups"])


def transposed_convolve(
    node: Node,
    x: Tensor,
    weight: Tensor,
    output_padding: list[int],
    lengths: list[int],
    bias: Tensor | None = None,
) -> Tensor:
    """Return the transposed convolution of x `[B, C, *]` with W `[C, O/groups, *kernel]`.

    The result is cut to the spatial `lengths`.
    """
    if patches.apart(node, weight):
        return patches.scatter_patches(x, weight, output_padding, bias)
    common = common_padding(node)
    if bias is None and overlaps.applies(node, x):
        y = overlaps.scatter_columns(node, x, weight, common, output_padding)
    else:
        transposed, groups = TRANSPOSE[len(common)], node["groups"]
        with summed(x):
            y = transposed(
                x, weight, bias, node["stride"], common, output_padding, groups, node["dilation"]
            )
    for axis, length in enumerate(lengths):
        y = y.narrow(axis + 2, node["padding"][axis][0] - common[axis], length)
    return y


def transposed_lengths(node: Node, lengths: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """Return the length of each spatial axis after a transposed convolution.

    It is `stride·(n − 1) + dilation·(kernel − 1) + 1 − before − after`, where n is the length of
    the input and `before` and `after` are the paddings.
    """
    return [
        stride * (n - 1) + dilation * (k - 1) + 1 - before - after
        for n, k, stride, dilation, (before, after) in zip(
            lengths, kernel, node["stride"], node["dilation"], node["padding"], strict=True
        )
    ]
