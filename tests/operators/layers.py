"""Forms of products, normalisations, convolutions and pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.operators.form import Draw, Form, Operand, generates


@generates("MatMul")
def matrix_product(draw: Draw, op: str) -> Form:
    m, k, n = draw.wholes(3, 1, 4)
    lead, other = draw.broadcast(2)
    x = draw.pick((m, k), (*lead[-2:], m, k), (k,))
    y = draw.pick((k, n), (*other[-2:], k, n), (k,))
    return Form(op, tuple(draw.given([x, y])))


@generates("Gemm")
def affine(draw: Draw, op: str) -> Form:
    m, k, n = draw.wholes(3, 1, 4)
    attributes: dict[str, Any] = {}
    draw.maybe(attributes, "transA", draw.whole(0, 1))
    draw.maybe(attributes, "transB", draw.whole(0, 1))
    draw.maybe(attributes, "alpha", draw.random.uniform(-2, 2), 0.3)
    draw.maybe(attributes, "beta", draw.random.uniform(-2, 2), 0.3)
    x = (k, m) if attributes.get("transA") else (m, k)
    y = (n, k) if attributes.get("transB") else (k, n)
    bias = draw.pick((n,), (m, n), (m, 1), (1,), (), (1, n))
    optional = [bias] if draw.opset < 11 or draw.chance(0.8) else []
    return Form(op, tuple(draw.given([x, y, *optional])), attributes)


@generates("BatchNormalization")
def batch_normalization(draw: Draw, op: str) -> Form:
    shape = draw.shape(2, 4)
    parts = [draw.real(shape[1]) for _ in range(3)]
    attributes: dict[str, Any] = {}
    draw.maybe(attributes, "epsilon", draw.pick(1e-5, 1e-2))
    draw.maybe(attributes, "training_mode", 1, 0.1)
    return Form(op, (shape, *parts, draw.real(shape[1], low=0.1)), attributes)


@generates("LayerNormalization")
def layer_normalization(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    axis = draw.axis(len(shape))
    normal = shape[axis:]
    operands: list[Operand] = [shape, draw.real(*normal)]
    if draw.chance():
        operands.append(draw.real(*normal))
    attributes = {"axis": axis, "epsilon": draw.pick(1e-5, 1e-2)}
    return Form(op, tuple(operands), attributes, high=draw.pick(2.0, 20.0))


@generates("InstanceNormalization")
def instance_normalization(draw: Draw, op: str) -> Form:
    shape = draw.shape(3, 5)
    return Form(op, (shape, draw.real(shape[1]), draw.real(shape[1])), {"epsilon": 1e-2})


def windows(draw: Draw, kernel: list[int], largest: int) -> dict[str, Any]:
    """Strides, dilations, paddings and how the padding is found."""
    rank = len(kernel)
    attributes: dict[str, Any] = {}
    draw.maybe(attributes, "strides", draw.wholes(rank, 1, 4), 0.7)
    draw.maybe(attributes, "dilations", draw.wholes(rank, 1, 3), 0.4)
    if draw.chance(0.4):
        attributes["auto_pad"] = draw.pick("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
    elif draw.chance(0.7):
        attributes["pads"] = [draw.whole(0, max(0, min(k - 1, largest))) for k in 2 * kernel]
    return attributes


@generates("Conv")
def convolution(draw: Draw, op: str) -> Form:
    kernel = draw.wholes(draw.whole(1, 3), 1, 3)
    group = draw.pick(1, 1, 2, 3)
    inner, outer = draw.wholes(2, 1, 2)
    lengths = [draw.whole(2, 7) for _ in kernel]
    weight = draw.real(group * outer, inner, *kernel)
    bias = [draw.real(group * outer)] if draw.chance() else []
    attributes = windows(draw, kernel, 3)
    attributes |= {"group": group} if group > 1 else {}
    draw.maybe(attributes, "kernel_shape", kernel)
    return Form(op, ((draw.whole(1, 2), group * inner, *lengths), weight, *bias), attributes)


@generates("ConvTranspose")
def transposed_convolution(draw: Draw, op: str) -> Form:
    kernel = draw.wholes(draw.whole(1, 2), 1, 3)
    group = draw.pick(1, 1, 2)
    inner, outer = draw.wholes(2, 1, 2)
    lengths = [draw.whole(1, 5) for _ in kernel]
    weight = draw.real(group * inner, outer, *kernel)
    bias = [draw.real(group * outer)] if draw.chance() else []
    attributes = windows(draw, kernel, 2)
    attributes |= {"group": group} if group > 1 else {}
    strides = attributes.get("strides", [1] * len(kernel))
    if draw.chance(0.3):
        attributes["output_padding"] = [draw.whole(0, by - 1) for by in strides]
    if draw.chance(0.2):
        attributes["output_shape"] = [
            draw.whole(max(1, (n - 1) * by), n * by) for n, by in zip(lengths, strides, strict=True)
        ]
    shape = (draw.whole(1, 2), group * inner, *lengths)
    return Form(op, (shape, weight, *bias), attributes)


@generates("MaxPool", "AveragePool")
def pool(draw: Draw, op: str) -> Form:
    kernel = draw.wholes(draw.whole(1, 3), 1, 4)
    attributes = {"kernel_shape": kernel, **windows(draw, kernel, 3)}
    draw.maybe(attributes, "ceil_mode", 1, 0.4)
    draw.maybe(attributes, "count_include_pad", 1, 0.4)
    lengths = [draw.whole(1, 9) for _ in kernel]
    return Form(op, ((draw.whole(1, 2), draw.whole(1, 2), *lengths),), attributes)


@generates("GlobalAveragePool", "GlobalMaxPool")
def global_pool(draw: Draw, op: str) -> Form:
    return Form(op, (draw.shape(3, 5),))


@generates("LSTM", "GRU", "RNN")
def recurrent(draw: Draw, op: str) -> Form:
    length, batch, width, size = draw.wholes(4, 1, 3)
    direction = draw.pick("forward", "reverse", "bidirectional")
    turns, gates = 1 + (direction == "bidirectional"), {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    attributes: dict[str, Any] = {"hidden_size": size, "direction": direction}
    draw.maybe(attributes, "linear_before_reset", draw.whole(0, 1))
    shape = (length, batch, width)
    operands: list[Operand] = [
        shape, draw.real(turns, gates * size, width), draw.real(turns, gates * size, size),
        draw.real(turns, 2 * gates * size) if draw.chance(0.8) else None, None,
    ]  # fmt: skip
    state = (turns, batch, size)
    if draw.chance():
        operands.append(draw.pick(state, draw.real(*state), np.zeros(state, np.float32)))
        if op == "LSTM":
            operands.append(draw.pick(state, draw.real(*state)))
    return Form(op, tuple(operands), attributes, outputs=3 if op == "LSTM" else 2)
