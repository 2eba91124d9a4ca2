"""Steps that slide a window: convolution and pooling over one or two axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx

from tests.adversary.network import Arithmetic, Attributes, State, Value, aligned, step


def windows(
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The flat places `[windows, kernel]` that each window reads, −1 in the padding, and the
    spatial shape of the result."""
    rank = len(spatial)
    begin, end = pads[:rank], pads[rank:]
    lengths = tuple(
        (size + a + b - d * (k - 1) - 1) // s + 1
        for size, a, b, d, k, s in zip(spatial, begin, end, dilations, kernel, strides, strict=True)
    )
    rows = []
    for corner in itertools.product(*(range(length) for length in lengths)):
        row = []
        for offset in itertools.product(*(range(k) for k in kernel)):
            place = [
                c * s - a + o * d
                for c, s, a, o, d in zip(corner, strides, begin, offset, dilations, strict=True)
            ]
            inside = all(0 <= p < size for p, size in zip(place, spatial, strict=True))
            row.append(int(np.ravel_multi_index(place, spatial)) if inside else -1)
        rows.append(row)
    return np.array(rows), lengths


def convolve(
    how: Arithmetic, x: Value, weight: Value, bias: Value | None, given: Attributes
) -> Value:
    """A convolution of `x [K, N, C, *spatial]` with `weight [1, M, C/groups, *kernel]`."""
    spatial, kernel = x.shape[3:], weight.shape[3:]
    rank, groups = len(spatial), given.get("group", 1)
    index, lengths = windows(
        spatial,
        kernel,
        given.get("strides", [1] * rank),
        given.get("pads", [0] * 2 * rank),
        given.get("dilations", [1] * rank),
    )
    count, (wide, out) = x.shape[1], (x.shape[2], weight.shape[1])
    size = int(np.prod(spatial))
    base = size * np.arange(count * wide).reshape(count, groups, 1, 1, wide // groups, 1)
    places = index.reshape(1, 1, 1, len(index), 1, -1)
    full = np.where(places < 0, -1, places + base).reshape(count, groups, 1, len(index), -1)
    patches = how.take(x, full)
    weight = weight.reshape(weight.shape[0], 1, groups, out // groups, 1, full.shape[-1])
    if bias is not None:
        bias = bias.reshape(bias.shape[0], 1, groups, out // groups, 1)
    found = how.dot(patches, weight, bias)
    return found.reshape(found.shape[0], count, out, *lengths)


@step("Conv")
def conv(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    bias = state.value(node.input[2]) if len(node.input) > 2 else None
    x, weight = state.value(node.input[0]), state.value(node.input[1])
    return convolve(state.how, x, weight, bias, given)


@step("MaxPool", "AveragePool")
def pool(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    how, x = state.how, state.value(node.input[0])
    kernel, rank = given["kernel_shape"], len(given["kernel_shape"])
    index, lengths = windows(
        x.shape[3:],
        kernel,
        given.get("strides", [1] * rank),
        given.get("pads", [0] * 2 * rank),
        given.get("dilations", [1] * rank),
    )
    lead = x.shape[1] * x.shape[2]
    base = int(np.prod(x.shape[3:])) * np.arange(lead).reshape(lead, 1, 1)
    if node.op_type == "MaxPool":
        # The largest of a window does not change when its first member is read once more.
        index = np.where(index < 0, index.max(axis=1, keepdims=True), index)
        found = how.largest(how.take(x, index[None] + base))
    else:
        found = how.total(how.take(x, np.where(index[None] < 0, -1, index[None] + base)))
        counts = (index >= 0).sum(axis=1)
        if given.get("count_include_pad", 0):
            counts = np.full_like(counts, index.shape[1])
        found = how.divide(*aligned(found, how.constant(counts.astype(np.float32))))
    return found.reshape(found.shape[0], x.shape[1], x.shape[2], *lengths)


@step("GlobalAveragePool")
def global_average(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    how, x = state.how, state.value(node.input[0])
    size = int(np.prod(x.shape[3:]))
    found = how.total(x.reshape(*x.shape[:3], size))
    found = how.divide(*aligned(found, how.constant(np.float32(size))))
    return found.reshape(*found.shape, *(1,) * (len(x.shape) - 3))
