"""The rules of convolution and transposed convolution in one, two or three dimensions.

Rows are pulled back through one by the forward pass of the other. Domains, rows and the ONNX batch
axis are folded into the batch of `batch_convolution.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from boundmesh.kernels.matmul import BLOCK_ROUNDINGS
from boundmesh.operators import patches
from boundmesh.operators.batch_convolution import (
    convolve,
    summed,
    transposed_convolve,
    transposed_lengths,
)
from boundmesh.operators.centered_boxes import around_center, sized_around_center
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, Product, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths
from boundmesh.operators.window_products import conv_windows, pull_conv_windows
from boundmesh.operators.window_strides import pull_conv_transpose_windows
from boundmesh.operators.windows import PulledWindows, Windows


def conv(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Compute the convolution of x `[D, N, C, *spatial]`.

    `weights` holds W `[O, C/groups, *kernel]` and b `[O]`; b may be absent.
    """
    result: Tensor = convolve(node, x.flatten(0, 1), *weights).unflatten(0, x.shape[:2])
    return result


def pull_conv(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: the coefficients are the transposed convolution of A, the bias `⟨A, b⟩`.

    The coefficients are cut or extended to the lengths of the input.
    """
    weight, lengths = weights[0], node.input_shapes[0][2:]
    reached = transposed_lengths(node, tuple(rows.shape[4:]), tuple(weight.shape[2:]))
    # The last window may end before the input does. The rest is shorter than one stride, and its
    # coefficients are zero.
    rest = [length - reach for length, reach in zip(lengths, reached, strict=True)]
    pulled = transposed_convolve(node, rows.flatten(0, 2), weight, rest, list(lengths))
    return Pulled((pulled.unflatten(0, rows.shape[:3]),), channel_bias(weights, rows))


def conv_transpose(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Compute the transposed convolution of x `[D, N, C, *spatial]`.

    `weights` holds W `[C, O/groups, *kernel]` and b `[O]`; b may be absent.
    """
    reached = transposed_lengths(node, tuple(x.shape[3:]), tuple(weights[0].shape[2:]))
    extra = list(node["output_padding"])
    lengths = [reach + more for reach, more in zip(reached, extra, strict=True)]
    y = transposed_convolve(node, x.flatten(0, 1), weights[0], extra, lengths, *weights[1:])
    result: Tensor = y.unflatten(0, x.shape[:2])
    return result


def pull_conv_transpose(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: the coefficients are the convolution of A, and the bias is `⟨A, b⟩`."""
    with summed(rows):
        pulled = convolve(node, rows.flatten(0, 2), weights[0])
    for dim, length in enumerate(node.input_shapes[0][2:], start=2):
        pulled = pulled.narrow(dim, 0, length)
    return Pulled((pulled.unflatten(0, rows.shape[:3]),), channel_bias(weights, rows))


def pull_summed_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows | None:
    """Pull rows in windows back through a transposed convolution, as sums of products."""
    with summed(windows.coefficients):
        return pull_conv_transpose_windows(node, weights, windows)


def channel_bias(weights: Weights, rows: Tensor) -> Tensor | None:
    """Return `⟨A, b⟩` `[D, S]`, where b is constant over the batch and all places of a channel."""
    if len(weights) < 2:
        return None
    bias = weights[1].reshape(-1, *[1] * (rows.dim() - 4))
    return inner(rows, bias.expand(1, 1, *rows.shape[2:]))


def conv_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `f(c) ± |W|∗r`, where c is the centre and r the radius of the box."""
    return around_center(conv, node, weights, box)


def conv_transpose_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `f(c) ± |W|∗r`, where c is the centre and r the radius of the box."""
    return around_center(conv_transpose, node, weights, box)


def conv_sized_interval(node: Node, weights: Weights, box: Interval) -> tuple[Interval, Tensor]:
    """Return `conv_interval` and the size of each output."""
    return sized_around_center(conv, node, weights, box)


def conv_transpose_sized_interval(
    node: Node, weights: Weights, box: Interval
) -> tuple[Interval, Tensor]:
    """Return `conv_transpose_interval` and the size of each output."""
    return sized_around_center(conv_transpose, node, weights, box)


def lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings.

    Forward and pull each sum over channels and the kernel. The bias of a row is a sum over all
    neurons.
    """
    kernel = math.prod(weights[0].shape[2:])
    fan_in = kernel * node.input_shapes[0][1] // node["groups"]
    fan_out = kernel * node.shape[1] // node["groups"]
    # Windows that do not overlap are multiplied by `matmul.mm`.
    if patches.apart(node, weights[0]):
        fan_out += BLOCK_ROUNDINGS
    return Lengths(fan_in + 1, fan_out, node.size)


def grouped(node: Node, cut: Partition) -> Partition | None:
    """Return the partition of the output if every rank holds at least one group, and whole groups.

    Returns None for every other partition of the input.
    """
    fan_in, fan_out = node.input_shapes[0][1] // node["groups"], node.shape[1] // node["groups"]
    aligned = cut.axis == 1 and not any(end % fan_in for end in cut.ends)
    if not aligned or len(set(cut.ends)) < len(cut.ends):
        return None
    return Partition(1, tuple(end // fan_in * fan_out for end in cut.ends))


def groups_of_piece(node: Node, axis: int, length: int) -> Mapping[str, Any]:
    """Return the number of groups that `length` output channels belong to, as an attribute."""
    return {"groups": length * node["groups"] // node.shape[1]}


CONV = register(
    Operator(
        "conv",
        conv,
        conv_interval,
        sized_interval=conv_sized_interval,
        pull=pull_conv,
        pull_windows=pull_conv_windows,
        forward_windows=conv_windows,
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
        sized_interval=conv_transpose_sized_interval,
        pull=pull_conv_transpose,
        pull_windows=pull_summed_windows,
        lengths=lengths,
        product=Product(axis=1, output_dim=1),
        exact_on_box=True,
        partition=grouped,
        piece_attributes=groups_of_piece,
    )
)
