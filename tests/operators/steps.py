"""Forms of comparisons, quantised operators and orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.operators.form import Draw, Form, Operand, Shape, generates


@generates("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
def comparison(draw: Draw, op: str) -> Form:
    return Form(op, tuple(draw.given(draw.broadcast(2))), cast=True)


@generates("And", "Or", "Xor")
def logic(draw: Draw, op: str) -> Form:
    """Of comparisons with zero, and perhaps a constant."""
    first, second = draw.broadcast(2)
    constant = draw.chance(0.4)
    other: Operand = draw.numbers.random(second) < 0.5 if constant else second
    return Form(op, (first, other), tested=2, cast=True)


@generates("Not")
def negation(draw: Draw, op: str) -> Form:
    return Form(op, (draw.shape(),), tested=2, cast=True)


@generates("ArgMax", "ArgMin")
def place(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    axis = draw.axis(len(shape)) if draw.opset >= 11 else draw.whole(0, len(shape) - 1)
    attributes: dict[str, Any] = {"axis": axis}
    draw.maybe(attributes, "keepdims", draw.whole(0, 1))
    draw.maybe(attributes, "select_last_index", draw.whole(0, 1))
    return Form(op, (shape,), attributes, cast=True)


@generates("TopK")
def top(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4, 5)
    axis = draw.axis(len(shape)) if draw.opset >= 11 else draw.whole(0, len(shape) - 1)
    count, attributes = draw.whole(1, shape[axis]), {"axis": axis}
    draw.maybe(attributes, "largest", draw.whole(0, 1))
    operands: list[Operand] = [shape]
    draw.setting("k", [count], operands, attributes)
    if draw.has("k"):
        attributes["k"] = count
    return Form(op, tuple(operands), attributes, outputs=2, read=1)


def scales(draw: Draw, shape: Shape, kind: Any) -> tuple[list[np.ndarray], dict[str, Any]]:
    """A scale and a zero point, for all or for each index of an axis."""
    low, high = (0, 200) if kind == np.uint8 else (-90, 90)
    if draw.opset >= 13 and draw.chance(0.4):
        axis = draw.axis(len(shape))
        length: tuple[int, ...] = (shape[axis],)
        attributes = {"axis": axis}
    else:
        length, attributes = (), {}
    zero = draw.numbers.integers(low, high, length).astype(kind)
    return [draw.real(*length, low=0.01, high=0.1), zero], attributes


@generates("QuantizeLinear", "DequantizeLinear")
def quantized(draw: Draw, op: str) -> Form:
    """Quantised numbers, restored."""
    shape = draw.shape(1, 4)
    settings, attributes = scales(draw, shape, draw.pick(np.uint8, np.int8))
    return Form(op, (shape, *settings), attributes, restored=True)


@generates("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv")
def integers(draw: Draw, op: str) -> Form:
    """Of an input that is quantised, and a constant."""
    if "Conv" in op:
        x: Shape = (1, 2, 4, 5)
        weight: Shape = (3, 2, 2, 3)
    else:
        x, weight = tuple(draw.wholes(2, 1, 4)), ()
        weight = (x[1], draw.whole(1, 4))
    constant = draw.numbers.integers(-90, 90, weight).astype(np.int8)
    zero = np.array(draw.whole(0, 200), np.uint8), np.array(draw.whole(-9, 9), np.int8)
    scale = [np.array(draw.random.uniform(0.01, 0.1), np.float32) for _ in range(3)]
    if op in ("MatMulInteger", "ConvInteger"):
        return Form(op, (x, constant, *zero), quantized=True, cast=True)
    end = (np.array(scale[2] * 10, np.float32), np.array(draw.whole(90, 150), np.uint8))
    operands = (x, scale[0], zero[0], constant, scale[1], zero[1], *end)
    return Form(op, operands, quantized=True, cast=True)


@generates("Mod")
def remainder(draw: Draw, op: str) -> Form:
    shape, divisor = draw.broadcast(2)
    numbers = draw.real(*divisor, low=0.4, high=1.5) * draw.pick(-1, 1)
    return Form(op, (shape, np.float32(numbers)), {"fmod": 1})
