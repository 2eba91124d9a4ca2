"""Convolution and transposed convolution in one, two or three dimensions.

Both are written once, as two functions of a batch `[B, C, *spatial]`; each is the transpose of
the other, so a rule pulls rows through one with the forward pass of the other. Domains, rows and
the ONNX batch axis are folded into B. Padding may differ before and after an axis; torch takes
the part that is equal on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.kernels.matmul import BLOCK_ROUNDINGS
from boundmesh.operators import overlaps, patches
from boundmesh.operators.node import Node
from boundmesh.operators.operator import (
    Interval,
    Operator,
    Product,
    Pulled,
    Weights,
    inner,
    register,
)
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths

CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSE = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def summed(x: Tensor) -> AbstractContextManager[object]:
    """Within it, a float32 convolution without gradients is a sum of products on a GPU, too: cuDNN
    may transform maps instead, which no bound on sums covers."""
    recorded = x.requires_grad and torch.is_grad_enabled()
    if x.is_cuda and x.dtype == torch.float32 and not recorded:
        return torch.backends.cudnn.flags(enabled=False, allow_tf32=False)
    return nullcontext()


def common_padding(node: Node) -> list[int]:
    return [min(pair) for pair in node["padding"]]


def convolve(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution of x `[B, C, *spatial]` with W `[O, C/groups, *kernel]`."""
    common = common_padding(node)
    pairs = zip(node["padding"], common, strict=True)
    extra = [(before - both, after - both) for (before, after), both in pairs]
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
    """The transposed convolution of x `[B, C, *]`, W `[C, O/groups, *kernel]`, cut to `lengths`."""
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
    """`stride·(n − 1) + dilation·(kernel − 1) + 1 − before − after` per spatial axis."""
    return [
        stride * (n - 1) + dilation * (k - 1) + 1 - before - after
        for n, k, stride, dilation, (before, after) in zip(
            lengths, kernel, node["stride"], node["dilation"], node["padding"], strict=True
        )
    ]


def conv(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: W `[O, C/groups, *kernel]`, b `[O]` (may be absent); x `[D, N, C, *spatial]`."""
    return convolve(node, x.flatten(0, 1), *weights).unflatten(0, x.shape[:2])


def pull_conv(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """The transposed convolution of A, as long as the input, and `⟨A, b⟩`."""
    weight, lengths = weights[0], node.input_shapes[0][2:]
    reached = transposed_lengths(node, tuple(rows.shape[4:]), tuple(weight.shape[2:]))
    # What the last stride did not reach is less than a stride long, and pulls back to zero.
    left = [length - reach for length, reach in zip(lengths, reached, strict=True)]
    pulled = transposed_convolve(node, rows.flatten(0, 2), weight, left, list(lengths))
    return Pulled((pulled.unflatten(0, rows.shape[:3]),), channel_bias(weights, rows))


def conv_transpose(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: W `[C, O/groups, *kernel]`, b `[O]` (may be absent); x `[D, N, C, *spatial]`."""
    reached = transposed_lengths(node, tuple(x.shape[3:]), tuple(weights[0].shape[2:]))
    left = list(node["output_padding"])
    lengths = [reach + more for reach, more in zip(reached, left, strict=True)]
    y = transposed_convolve(node, x.flatten(0, 1), weights[0], left, lengths, *weights[1:])
    return y.unflatten(0, x.shape[:2])


def pull_conv_transpose(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """The convolution of A, and `⟨A, b⟩`."""
    with summed(rows):
        pulled = convolve(node, rows.flatten(0, 2), weights[0])
    for dim, length in enumerate(node.input_shapes[0][2:], start=2):
        pulled = pulled.narrow(dim, 0, length)
    return Pulled((pulled.unflatten(0, rows.shape[:3]),), channel_bias(weights, rows))


def channel_bias(weights: Weights, rows: Tensor) -> Tensor | None:
    """`⟨A, b⟩` `[D, S]`, with b the same all over the batch and space."""
    if len(weights) < 2:
        return None
    bias = weights[1].reshape(-1, *[1] * (rows.dim() - 4))
    return inner(rows, bias.expand(1, 1, *rows.shape[2:]))


def conv_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """`f(c) ± |W|∗r` with c the centre and r the radius of the box."""
    return around_center(conv, node, weights, box)


def conv_transpose_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """`f(c) ± |W|∗r` with c the centre and r the radius of the box."""
    return around_center(conv_transpose, node, weights, box)


def around_center(forward, node: Node, weights: Weights, box: Interval) -> Interval:
    """On a GPU in float64, whose convolutions cuDNN does not transform, or so exactly that float32
    does not show it."""
    dtype = box.lower.dtype
    if box.lower.is_cuda:
        weights = tuple(weight.double() for weight in weights)
        box = Interval(box.lower.double(), box.upper.double())
    middle = forward(node, weights, (box.upper + box.lower) / 2)
    radius = forward(node, (weights[0].abs(),), (box.upper - box.lower) / 2)
    return Interval((middle - radius).to(dtype), (middle + radius).to(dtype))


def lengths(node: Node, weights: Weights) -> Lengths:
    """Each way a sum over channels and the kernel; biases are added over all neurons."""
    kernel = math.prod(weights[0].shape[2:])
    fan_in = kernel * node.input_shapes[0][1] // node["groups"]
    fan_out = kernel * node.shape[1] // node["groups"]
    # Windows side by side are multiplied by `matmul.mm`.
    if patches.apart(node, weights[0]):
        fan_out += BLOCK_ROUNDINGS
    return Lengths(fan_in + 1, fan_out, node.size)


def grouped(node: Node, cut: Partition) -> Partition | None:
    """The cut of the output where every group lies on one rank, and every rank has one."""
    wide, out = node.input_shapes[0][1] // node["groups"], node.shape[1] // node["groups"]
    aligned = cut.axis == 1 and not any(end % wide for end in cut.ends)
    if not aligned or len(set(cut.ends)) < len(cut.ends):
        return None
    return Partition(1, tuple(end // wide * out for end in cut.ends))


def groups_of_piece(node: Node, axis: int, length: int) -> Mapping[str, Any]:
    """The groups that `length` output channels belong to."""
    return {"groups": length * node["groups"] // node.shape[1]}


register(
    Operator(
        "conv",
        conv,
        conv_interval,
        pull=pull_conv,
        lengths=lengths,
        product=Product(axis=1),
        exact_on_box=True,
        partition=grouped,
        piece_attributes=groups_of_piece,
    )
)
register(
    Operator(
        "conv_transpose",
        conv_transpose,
        conv_transpose_interval,
        pull=pull_conv_transpose,
        lengths=lengths,
        product=Product(axis=1, output_dim=1),
        exact_on_box=True,
        partition=grouped,
        piece_attributes=groups_of_piece,
    )
)
