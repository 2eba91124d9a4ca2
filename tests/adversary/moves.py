"""Steps that move elements and compute nothing."""

from __future__ import annotations

import numpy as np
import onnx

from tests.adversary.network import Attributes, State, Value, moved, step


@step("Flatten")
def flatten(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    x, axis = state.value(node.input[0]), given.get("axis", 1)
    first = int(np.prod(x.shape[1 : 1 + axis]))
    return x.reshape(x.shape[0], first, int(np.prod(x.shape[1 + axis :])))


@step("Reshape")
def reshape(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    x = state.value(node.input[0])
    wanted = [
        x.shape[1 + place] if length == 0 else int(length)
        for place, length in enumerate(state.constants[node.input[1]])
    ]
    if -1 in wanted:
        rest = -int(np.prod(wanted))
        wanted[wanted.index(-1)] = int(np.prod(x.shape[1:])) // rest
    return x.reshape(x.shape[0], *wanted)


@step("Squeeze", "Unsqueeze")
def squeeze(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    x, axes = state.value(node.input[0]), tuple(state.constants[node.input[1]].tolist())
    change = np.squeeze if node.op_type == "Squeeze" else np.expand_dims
    return moved(state.how, x, lambda places: change(places, axes))


@step("Transpose")
def transpose(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    return moved(state.how, state.value(node.input[0]), lambda p: p.transpose(given.get("perm")))


@step("Slice")
def cut(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    starts, ends = (state.constants[name].tolist() for name in node.input[1:3])
    axes, steps = state.optional(node, 3), state.optional(node, 4)

    def move(places: np.ndarray) -> np.ndarray:
        which = [slice(None)] * places.ndim
        order = range(len(starts)) if axes is None else axes.tolist()
        strides = [1] * len(starts) if steps is None else steps.tolist()
        for start, end, axis, stride in zip(starts, ends, order, strides, strict=True):
            which[axis] = slice(start, end, stride)
        return places[tuple(which)]

    return moved(state.how, state.value(node.input[0]), move)


@step("Concat")
def concat(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    parts = [state.value(name) for name in node.input]
    axis, points = given["axis"], max(part.shape[0] for part in parts)
    repeated = [
        part if part.shape[0] == points else part[np.zeros(points, dtype=int)] for part in parts
    ]
    return state.how.join(repeated, axis + 1 if axis >= 0 else axis)


@step("Gather")
def gather(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    index, axis = state.constants[node.input[1]], given.get("axis", 0)
    return moved(state.how, state.value(node.input[0]), lambda p: np.take(p, index, axis=axis))


@step("Pad")
def pad(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    """With a constant."""
    x, ends = state.value(node.input[0]), state.constants[node.input[1]].tolist()
    rank = len(ends) // 2
    widths = list(zip(ends[:rank], ends[rank:], strict=True))
    padded = moved(state.how, x, lambda p: np.pad(p, widths, constant_values=-1))
    filling = state.optional(node, 2)
    if filling is None or not float(filling):
        return padded
    inside = np.pad(np.ones(x.shape[1:], dtype=bool), widths)
    return state.how.add(padded, state.how.constant(np.where(inside, 0, filling)))


@step("Expand")
def expand(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    shape = tuple(state.constants[node.input[1]].tolist())
    return moved(
        state.how,
        state.value(node.input[0]),
        lambda p: np.broadcast_to(p, np.broadcast_shapes(p.shape, shape)),
    )
