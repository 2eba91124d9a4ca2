"""Forms of operators that act element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.operators.form import Draw, Form, generates

POSITIVE = ("Log", "Sqrt", "Reciprocal")


@generates(
    *("Relu", "Sigmoid", "Tanh", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Sin", "Cos", "Floor"),
    *("Ceil", "Neg", "Identity", "Softplus", "HardSwish", "Sinh", "Cosh"),
)
def function(draw: Draw, op: str) -> Form:
    reach = draw.pick(0.5, 3.0, 30.0)
    low = 0.01 if op in POSITIVE else -reach
    if op == "Reciprocal" and draw.chance():
        return Form(op, (draw.shape(),), low=-reach, high=-0.01)
    return Form(op, (draw.shape(0),), low=low, high=reach)


@generates("Elu", "Celu", "Selu", "LeakyRelu", "HardSigmoid", "Swish", "Gelu")
def shaped_function(draw: Draw, op: str) -> Form:
    attributes: dict[str, Any] = {}
    low = 0.1 if op == "Celu" else -0.5
    draw.maybe(attributes, "alpha", draw.random.uniform(low, 1.8))
    draw.maybe(attributes, "beta", draw.random.uniform(-1, 1))
    draw.maybe(attributes, "gamma", draw.random.uniform(0.5, 1.5))
    draw.maybe(attributes, "approximate", "tanh", 0.5)
    reach = draw.pick(1.0, 10.0)
    return Form(op, (draw.shape(),), attributes, low=-reach, high=reach)


@generates("ThresholdedRelu", "Shrink")
def cut_function(draw: Draw, op: str) -> Form:
    attributes: dict[str, Any] = {}
    if op == "Shrink":
        draw.maybe(attributes, "lambd", draw.random.uniform(0, 1.5))
        draw.maybe(attributes, "bias", draw.random.uniform(-1, 1))
    else:
        draw.maybe(attributes, "alpha", draw.random.uniform(-1, 1.5))
    return Form(op, (draw.shape(),), attributes, low=-3.0, high=3.0)


@generates("Hardmax")
def places_of_largest(draw: Draw, op: str) -> Form:
    attributes: dict[str, Any] = {}
    shape = draw.shape(2, 4)
    draw.maybe(attributes, "axis", draw.whole(0, len(shape) - 1))
    return Form(op, (shape,), attributes)


@generates("PRelu")
def parametric(draw: Draw, op: str) -> Form:
    shape = draw.shape(2, 4)
    slopes = [(1,), (shape[1], *(1,) * (len(shape) - 2)), shape, shape[-1:]]
    low = draw.pick(0.0, -1.5)
    return Form(op, (shape, draw.real(*draw.pick(*slopes), low=low)))


@generates("Add", "Sub", "Mul")
def arithmetic(draw: Draw, op: str) -> Form:
    return Form(op, tuple(draw.given(draw.broadcast(2))))


@generates("Div")
def quotient(draw: Draw, op: str) -> Form:
    low = draw.pick(0.1, 0.7)
    return Form(op, tuple(draw.given(draw.broadcast(2), low=low, high=3.0)), low=low, high=3.0)


@generates("Max", "Min", "Sum", "Mean")
def of_many(draw: Draw, op: str) -> Form:
    return Form(op, tuple(draw.given(draw.broadcast(draw.whole(1, 4)))))


@generates("Pow")
def power(draw: Draw, op: str) -> Form:
    base, exponent = draw.broadcast(2)
    if draw.chance(0.3):
        return Form(op, (draw.real(*base, low=0.2, high=3.0), exponent))
    value = draw.pick(0.5, 1.0, 2.0, 3.0, 4.0, 1.5, -1.0, -2.0, 0.0)
    if draw.chance(0.1):
        return Form(op, (base, draw.real(*exponent)), low=0.1, high=3.0)
    low = -2.0 if value in (1.0, 2.0, 3.0, 4.0) else 0.1
    kind = (
        draw.pick(np.float32, np.int64) if value == int(value) and draw.opset >= 12 else np.float32
    )
    return Form(op, (base, np.full(exponent, value, kind)), low=low, high=3.0)


@generates("Clip")
def limits(draw: Draw, op: str) -> Form:
    low, high = sorted(draw.real(2).tolist())
    scale = draw.pick(1.0, 1.0, 1e3, 1e6)
    low, high = float(np.float32(low * scale)), float(np.float32(high * scale))
    shape = draw.shape(0)
    if draw.has("min"):
        attributes: dict[str, Any] = {}
        draw.maybe(attributes, "min", low, 0.7)
        draw.maybe(attributes, "max", high, 0.7)
        return Form(op, (shape,), attributes)
    limits = [np.array(each, np.float32) if draw.chance(0.7) else None for each in (low, high)]
    return Form(op, (shape, *limits))


@generates("Where")
def choice(draw: Draw, op: str) -> Form:
    condition, x, y = draw.broadcast(3)
    if draw.chance(0.4):
        return Form(op, (condition, *draw.given([x, y])), tested=1)
    return Form(op, (draw.numbers.random(condition) < 0.5, *draw.given([x, y])))


@generates("Cast")
def cast(draw: Draw, op: str) -> Form:
    return Form(op, (draw.shape(0),), {"to": draw.pick(1, 11, 6, 7, 9)}, tested=draw.whole(0, 1))


@generates("CastLike")
def cast_like(draw: Draw, op: str) -> Form:
    kind = draw.pick(np.float32, np.float32, np.float64, np.int64)
    return Form(op, (draw.shape(), np.zeros(draw.shape(0, 2), kind)))


@generates("Dropout")
def dropout(draw: Draw, op: str) -> Form:
    if draw.has("ratio"):
        return Form(op, (draw.shape(),), {"ratio": 0.3})
    training = np.array(draw.chance(0.2)) if draw.chance() else None
    return Form(op, (draw.shape(), np.array(0.3, np.float32), training))


@generates("Erf", "Atan", "Asinh", "Softsign", "Mish", "Tan")
def curve(draw: Draw, op: str) -> Form:
    reach = draw.pick(0.5, 1.4) if op == "Tan" else draw.pick(0.5, 3.0, 30.0)
    return Form(op, (draw.shape(0),), low=-reach, high=reach)


@generates("Sign", "Round")
def jump(draw: Draw, op: str) -> Form:
    return Form(op, (draw.shape(0),), low=-4.0, high=4.0)
