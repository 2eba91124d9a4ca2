"""Forms of operators that move, pick, join and reduce elements, and of those that are constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from tests.operators.form import Draw, Form, Operand, generates


@generates("Reshape")
def reshape(draw: Draw, op: str) -> Form:
    shape = draw.shape(0)
    target = list(draw.random.sample(shape, len(shape)))
    for place, length in enumerate(target):
        if place < len(shape) and length == shape[place] and draw.chance(0.3):
            target[place] = 0
    if target and draw.chance():
        target[draw.whole(0, len(target) - 1)] = -1
    attributes: dict[str, Any] = {}
    draw.maybe(attributes, "allowzero", 1, 0.2)
    return Form(op, (shape, np.asarray(target or [1, -1], np.int64)), attributes)


@generates("Flatten")
def flatten(draw: Draw, op: str) -> Form:
    shape = draw.shape(0)
    low = -len(shape) if draw.opset >= 11 else 0
    return Form(op, (shape,), {"axis": draw.whole(low, len(shape))} if draw.chance(0.8) else {})


@generates("Squeeze", "Unsqueeze")
def squeeze(draw: Draw, op: str) -> Form:
    shape = tuple(1 if draw.chance() else length for length in draw.shape(1, 4))
    operands: list[Operand] = [shape]
    attributes: dict[str, Any] = {}
    if op == "Unsqueeze":
        rank = len(shape) + 2
        axes = [axis for axis in draw.axes(rank)][:2]
        if len(axes) < 2:
            rank -= 1
            axes = [draw.axis(rank)]
    else:
        ones = [axis for axis, length in enumerate(shape) if length == 1]
        axes = draw.random.sample(ones, draw.whole(1, len(ones))) if ones else []
        axes = [axis - len(shape) if draw.chance(0.3) else axis for axis in axes]
    if draw.opset < 11:
        axes = [axis % (len(shape) + (len(axes) if op == "Unsqueeze" else 0)) for axis in axes]
    if axes and (op == "Unsqueeze" or draw.chance(0.7)):
        draw.setting("axes", axes, operands, attributes)
    return Form(op, tuple(operands), attributes)


@generates("Transpose")
def transpose(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 5)
    perm = draw.random.sample(range(len(shape)), len(shape))
    return Form(op, (shape,), {"perm": perm} if draw.chance(0.8) else {})


@generates("Expand")
def expand(draw: Draw, op: str) -> Form:
    shape, target = draw.broadcast(2)
    return Form(op, (shape, np.asarray(target, np.int64)))


@generates("DepthToSpace", "SpaceToDepth")
def blocks(draw: Draw, op: str) -> Form:
    size, (n, c, height, width) = draw.whole(1, 3), draw.wholes(4, 1, 3)
    attributes: dict[str, Any] = {"blocksize": size}
    draw.maybe(attributes, "mode", draw.pick("DCR", "CRD"))
    if op == "DepthToSpace":
        return Form(op, ((n, c * size * size, height, width),), attributes)
    return Form(op, ((n, c, height * size, width * size),), attributes)


@generates("Slice")
def cut(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4, 6)
    axes = draw.axes(len(shape))
    if draw.opset < 10 or draw.chance(0.2):
        axes = sorted(axis % len(shape) for axis in axes)
    starts = [draw.pick(draw.whole(-8, 8), 0, -(2**40)) for _ in axes]
    ends = [draw.pick(draw.whole(-8, 8), 2**62, -(2**62)) for _ in axes]
    if draw.has("starts"):
        return Form(op, (shape,), {"starts": starts, "ends": ends, "axes": axes})
    kind = np.int64
    settings: list[Operand] = [np.asarray(each, kind) for each in (starts, ends, axes)]
    if draw.chance(0.6):
        settings.append(np.asarray([draw.pick(1, 2, 3, -1, -2) for _ in axes], kind))
    return Form(op, (shape, *settings))


@generates("Gather")
def gather(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    axis = draw.axis(len(shape))
    low = -shape[axis] if draw.opset >= 11 else 0
    chosen = draw.shape(0, 2)
    index = draw.numbers.integers(low, shape[axis], chosen)
    attributes = {"axis": axis} if axis or draw.chance() else {}
    return Form(op, (shape, np.asarray(index, draw.pick(np.int32, np.int64))), attributes)


@generates("Split")
def split(draw: Draw, op: str) -> Form:
    shape = list(draw.shape(1, 4))
    axis, count = draw.axis(len(shape)), draw.whole(1, 3)
    attributes: dict[str, Any] = {"axis": axis}
    operands: list[Operand] = []
    if draw.chance():
        parts = draw.wholes(count, 0 if draw.chance(0.2) else 1, 3)
        shape[axis] = max(1, sum(parts))
        parts[-1] += shape[axis] - sum(parts)
        draw.setting("split", parts, operands, attributes)
    elif draw.has("num_outputs"):
        attributes["num_outputs"] = count
        shape[axis] = draw.whole(count, 3 * count)
    else:
        shape[axis] = count * draw.whole(1, 3)
    return Form(op, (tuple(shape), *operands), attributes, outputs=count)


@generates("Concat")
def concat(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    axis = draw.axis(len(shape))
    shapes = []
    for _ in range(draw.whole(1, 3)):
        part = list(shape)
        part[axis] = draw.whole(1, 4)
        shapes.append(tuple(part))
    return Form(op, tuple(draw.given(shapes)), {"axis": axis})


@generates("Tile")
def tile(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    return Form(op, (shape, np.asarray(draw.wholes(len(shape), 1, 3), np.int64)))


@generates("Pad")
def pad(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4, 5)
    mode = draw.pick(
        "constant", "constant", "reflect", "edge", *(["wrap"] if draw.opset >= 19 else [])
    )
    axes = draw.axes(len(shape)) if draw.opset >= 18 and draw.chance() else list(range(len(shape)))
    low = -1 if mode == "constant" and draw.chance(0.3) else 0
    most = {"reflect": lambda n: n - 1, "wrap": lambda n: n}.get(mode, lambda n: 3)
    pads = [draw.whole(low, min(3, most(shape[axis]))) for axis in 2 * axes]
    attributes: dict[str, Any] = {"mode": mode} if mode != "constant" or draw.chance() else {}
    operands: list[Operand] = [shape]
    draw.setting("pads", pads, operands, attributes)
    if draw.has("value"):
        draw.maybe(attributes, "value", 0.75)
    else:
        operands.append(np.array(-0.5, np.float32) if draw.chance() else None)
        if axes != list(range(len(shape))):
            operands.append(np.asarray(axes, np.int64))
    return Form(op, tuple(operands), attributes)


@generates("Upsample")
def upsample(draw: Draw, op: str) -> Form:
    scales = [1.0, 1.0, float(draw.whole(1, 3)), draw.pick(1.0, 2.0, 1.5)]
    mode = {"mode": "linear"} if draw.chance(0.1) else {}
    shape = (1, *draw.shape(3, 3))
    if draw.has("scales"):
        return Form(op, (shape,), {"scales": scales, **mode})
    return Form(op, (shape, np.asarray(scales, np.float32)), mode)


def interpolating(draw: Draw, attributes: dict[str, Any]) -> Form:
    """Resize by weights; ONNX Runtime does so along the last axes of maps."""
    mode = draw.pick("linear", "linear", "cubic")
    shape = (1, 2, *draw.wholes(2, 2, 6)) if mode == "cubic" else draw.pick(
        (1, 2, *draw.wholes(2, 2, 6)), tuple(draw.wholes(2, 1, 6)))  # fmt: skip
    lead = [1.0] * (len(shape) - 2)
    scales = np.asarray([*lead, *(draw.pick(0.5, 0.7, 1.5, 2.0, 3.0) for _ in "hw")], np.float32)
    attributes = {**attributes, "mode": mode}
    if mode == "cubic":
        draw.maybe(attributes, "cubic_coeff_a", draw.pick(-0.5, -0.6))
        draw.maybe(attributes, "exclude_outside", draw.whole(0, 1))
    none = np.zeros(0, np.float32) if draw.opset < 13 else None
    if draw.chance():
        return Form("Resize", (shape, none, scales), attributes)
    lengths = np.asarray([*shape[:-2], *draw.wholes(2, 1, 8)], np.int64)
    return Form("Resize", (shape, none, none, lengths), attributes)


@generates("Resize")
def resize(draw: Draw, op: str) -> Form:
    shape = draw.shape(2, 4)
    scales = np.asarray([draw.pick(0.5, 0.7, 1.0, 1.5, 2.0, 3.0) for _ in shape], np.float32)
    if draw.opset < 11:
        return Form(op, (shape, scales))
    attributes: dict[str, Any] = {}
    modes = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    roundings = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    draw.maybe(attributes, "coordinate_transformation_mode", draw.pick(*modes), 0.8)
    draw.maybe(attributes, "nearest_mode", draw.pick(*roundings), 0.8)
    if draw.chance(0.6):
        return interpolating(draw, attributes)
    roi = np.zeros(0, np.float32) if draw.opset < 13 else None
    if draw.chance():
        return Form(op, (shape, roi, scales), attributes)
    lengths = np.asarray([draw.whole(1, 6) for _ in shape], np.int64)
    none = np.zeros(0, np.float32) if draw.opset < 13 else None
    return Form(op, (shape, roi, none, lengths), attributes)


@generates(
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
)
def reduce(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    operands: list[Operand] = [shape]
    attributes: dict[str, Any] = {}
    if draw.chance(0.8):
        axes = draw.axes(len(shape))
        axes = axes if draw.opset >= 11 else [axis % len(shape) for axis in axes]
        draw.setting("axes", axes, operands, attributes)
    draw.maybe(attributes, "keepdims", draw.whole(0, 1))
    draw.maybe(attributes, "noop_with_empty_axes", draw.whole(0, 1), 0.4)
    return Form(op, tuple(operands), attributes, low=0.1 if op == "ReduceLogSum" else -2.0)


@generates("Softmax", "LogSoftmax")
def softmax(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    low = -len(shape) if draw.opset >= 11 else 0
    attributes = {"axis": draw.whole(low, len(shape) - 1)}
    if draw.chance(0.3) and (draw.opset >= 13 or len(shape) > 1):
        attributes = {}
    reach = draw.pick(2.0, 30.0)
    return Form(op, (shape,), attributes, low=-reach, high=reach)


@generates("Shape", "Size")
def measure(draw: Draw, op: str) -> Form:
    attributes: dict[str, Any] = {}
    draw.maybe(attributes, "start", draw.whole(-3, 1), 0.3)
    return Form(op, (draw.shape(2),), attributes, scales=draw.shape())


@generates("Range")
def count_up(draw: Draw, op: str) -> Form:
    ends = [
        np.array(each, np.int64) for each in (draw.whole(-3, 3), draw.whole(4, 9), draw.whole(1, 3))
    ]
    return Form(op, tuple(ends), scales=draw.shape())


@generates("ConstantOfShape")
def filled(draw: Draw, op: str) -> Form:
    value = draw.pick(np.array([2.5], np.float32), np.array([3], np.int64))
    attributes = {"value": numpy_helper.from_array(value)} if draw.chance(0.7) else {}
    return Form(op, (np.asarray(draw.shape(), np.int64),), attributes, scales=draw.shape())


@generates("Constant")
def constant(draw: Draw, op: str) -> Form:
    value: dict[str, Any] = {"value": numpy_helper.from_array(draw.real(*draw.shape(0)))}
    if draw.has("value_float"):
        value = draw.pick(value, {"value_float": 1.5}, {"value_ints": [1, 2]}, {"value_int": 3},
                          {"value_floats": [0.5, -1.0]})  # fmt: skip
    return Form(op, (), value, scales=draw.shape())
