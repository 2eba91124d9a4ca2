"""ONNX activation functions and other functions of one operand."""

from __future__ import annotations

import math

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import Given, known, quotient, wide
from boundmesh.graph.formed import UPWARD, Formed, size_of
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import (
    at_most,
    clip,
    minus,
    negative,
    plus,
    scale,
    shift,
    times,
)
from boundmesh.read.translate.gates import operand, scalar
from boundmesh.read.translate.step import Step, Value, translates

DIRECT = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Abs": "abs",
    "Exp": "exp",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Sin": "sin",
    "Cos": "cos",
    "Floor": "floor",
    "Erf": "erf",
    "Atan": "atan",
    "Asinh": "asinh",
    "Tan": "tan",
    "Softsign": "softsign",
    "Softplus": "softplus",
    "Mish": "mish",
    "HardSwish": "hard_swish",
}


@translates(*DIRECT)
def direct(step: Step) -> Value:
    return step.build.add(DIRECT[step.op], step.node())


@translates("Log")
def logarithm_of(step: Step) -> Value:
    """Return `log x`.

    For `x = sigmoid(y)` it is `−softplus(−y)`, and for `x = exp(y) + 1` it is `softplus(y)`. Inside
    of sigmoid and exp, a network that rounds can overflow or reach zero, which the rules of
    softplus do not count.
    """
    build, x = step.build, step.node()
    if x.op == "sigmoid":
        build.unbounded.add(step.op)
        inner = negative(build, operand(build, x))
        return negative(build, build.add("softplus", inner, formula="log of sigmoid"))
    if x.op == "shift" and scalar(build, x) == 1 and operand(build, x).op == "exp":
        build.unbounded.add(step.op)
        return build.add("softplus", operand(build, operand(build, x)))
    return build.add("log", x)


@translates("Ceil")
def ceil(step: Step) -> Value:
    """Return `−⌊−x⌋`."""
    build = step.build
    return negative(build, build.add("floor", negative(build, step.node())))


def leaky(build: Builder, x: Node, slope: Constant) -> Node:
    """Return `x` above zero and `slope·x` below; in general `relu(x) − slope·relu(−x)`."""
    first = float(slope.array.flat[0])
    if np.all(slope.array == first) and 0 <= first <= 1 and slope.formed.depth == 0:
        return build.add("leaky_relu", x, slope=first) if first else build.add("relu", x)
    below = scale(build, build.add("relu", negative(build, x)), slope)
    return minus(build, build.add("relu", x), below)


@translates("LeakyRelu")
def leaky_relu(step: Step) -> Value:
    return leaky(step.build, step.node(), known(step.real("alpha", 0.01)))


@translates("PRelu")
def parametric_relu(step: Step) -> Value:
    return leaky(step.build, step.node(), step.known(1, "slope"))


def line(build: Builder, x: Node, slope: Given, offset: Given) -> Node:
    return shift(build, scale(build, x, slope), offset)


@translates("HardSigmoid")
def hard_sigmoid(step: Step) -> Value:
    """Return `clip(αx + β, 0, 1)`."""
    inner = line(step.build, step.node(), step.real("alpha", 0.2), step.real("beta", 0.5))
    return clip(step.build, inner, 0.0, 1.0)


@translates("Swish")
def swish(step: Step) -> Value:
    """Return `x·sigmoid(αx)`, which is `silu(αx)/α` for α > 0."""
    gate = scale(step.build, step.node(), step.real("alpha", 1.0))
    return times(step.build, step.node(), step.build.add("sigmoid", gate))


@translates("Gelu")
def gelu(step: Step) -> Value:
    """Return `x·Φ(x)`, or `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))` where it approximates."""
    if step.attribute("approximate", "none") == "none":
        return step.build.add("gelu", step.node())
    return step.build.add("gelu_tanh", step.node(), factor=math.sqrt(2 / math.pi), cubic=0.044715)


@translates("Elu", "Celu", "Selu")
def exponential_linear(step: Step) -> Value:
    """Return `γ·x` above zero and `γ·a·(exp(x/b) − 1)` below, each op with its own γ, a and b.

    It is convex for a ≤ b. Celu has a = b, and is `a·elu(x/a)`.
    """
    alpha = step.real("alpha", 1.67326319217681884765625 if step.op == "Selu" else 1.0)
    gamma = step.real("gamma", 1.05070102214813232421875) if step.op == "Selu" else 1.0
    width = alpha if step.op == "Celu" else 1.0
    build, x = step.build, step.node()
    if step.op == "Celu" and alpha > 0:
        return scale(
            build, build.add("elu", scale(build, x, quotient(1.0, alpha)), alpha=1.0), alpha
        )
    if step.op != "Celu" and 0 <= alpha <= 1:
        return scale(build, build.add("elu", x, alpha=alpha), gamma)
    if step.op != "Celu" and alpha > 1:
        # elu(x) + (a − 1)·(exp(min(x, 0)) − 1)
        rest = line(build, build.add("exp", at_most(build, x, 0.0)), alpha - 1, 1 - alpha)
        return scale(build, plus(build, build.add("elu", x, alpha=1.0), rest), gamma)
    below = scale(build, build.add("relu", negative(build, x)), quotient(-1.0, width))
    curve = line(build, build.add("exp", below), alpha, -alpha)
    return scale(build, plus(build, build.add("relu", x), curve), gamma)


@translates("Pow")
def power(step: Step) -> Value:
    """Return `x^e` for one constant exponent, `c^x = exp(x·log c)` for a constant base c > 0."""
    build, base, exponent = step.build, step.value(0), step.value(1)
    if isinstance(base, Constant):
        if not np.all(base.array > 0):
            raise step.refuse("its constant base is not positive")
        return build.add("exp", scale(build, step.node(1), logarithm(base)))
    if isinstance(exponent, Node):
        raise step.refuse("base and exponent both depend on the network's input")
    if np.unique(exponent.array).size != 1:
        raise step.refuse("its exponents differ; one constant exponent is supported")
    if exponent.formed.depth:
        raise step.refuse("its exponent is not a number of the file but computed from others")
    x = build.broadcast(step.node(), np.broadcast_shapes(step.node().shape, exponent.shape))
    return raised(build, x, float(exponent.array.flat[0]))


def logarithm(base: Constant) -> Constant:
    """Return `log c`, which the library gives to two rounding errors; c may be off by its own.

    `|log(c + e) − log c| ≤ |e/c|/(1 − |e/c|)`, as in a quotient.
    """
    array = wide(base)
    if not base.formed.depth:
        return Constant("", np.asarray(np.log(array)), Formed(None, 2))
    relative = float(np.max(size_of(array, base.formed) / array))
    depth = math.ceil(base.formed.depth * (1 + relative)) + 2
    size = np.asarray(np.abs(np.log(array)) * UPWARD + relative)
    return Constant("", np.asarray(np.log(array)), Formed(size, depth))


def raised(build: Builder, x: Node, exponent: float) -> Node:
    """Return `x^e`, as a root or a reciprocal where it is one."""
    if exponent == 1:
        return x
    names = {0.5: "sqrt", -1.0: "reciprocal"}
    if exponent in names:
        return build.add(names[exponent], x)
    return build.add("power", x, exponent=exponent)
