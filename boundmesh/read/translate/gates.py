"""Finds products `x·gate(x)` that are one function of x: GELU, SiLU and Mish, as files spell them.

A product of two values is bounded by planes, which are far looser than the lines of the function.
The product `|x|·sign(x)` is x itself; PyTorch's LPPool writes it as `relu(|x|)·sign(x)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import Constant, product, quotient, rounded
from boundmesh.graph.formed import EXACT
from boundmesh.operators.node import Node


@dataclass(frozen=True)
class Scaled:
    """The value `factor·node`, with one factor for all elements."""

    node: Node
    factor: Constant


ONE = Constant("", np.asarray(1.0))


def gated(build: Builder, x: Node, y: Node) -> Scaled | None:
    """Return `x·y` as a multiple of one function of one value, or None where it is none."""
    left, right = unscaled(build, x), unscaled(build, y)
    for value, gate in ((left, right), (right, left)):
        gate_product = function_of(build, value.node, gate.node)
        if gate_product is not None:
            factor = product(product(value.factor, gate.factor), gate_product.factor)
            return Scaled(gate_product.node, factor)
    return None


def function_of(build: Builder, x: Node, gate: Node) -> Scaled | None:
    """Return `x·gate` where the gate is a known function of x."""
    if gate.op == "reciprocal":
        # x/(1 + |x|)
        inner = operand(build, gate)
        softsign = inner.op == "shift" and scalar(build, inner) == 1
        softsign = softsign and operand(build, inner).op == "abs"
        softsign = softsign and operand(build, operand(build, inner)) == x
        return Scaled(build.add("softsign", x), ONE) if softsign else None
    if gate.op == "step":
        return of_sign(build, x, gate)
    if gate.op == "sigmoid":
        return of_sigmoid(build, x, operand(build, gate))
    if gate.op == "tanh":
        inner = operand(build, gate)
        softplus = inner.op == "softplus" and operand(build, inner) == x
        return Scaled(build.add("mish", x), ONE) if softplus else None
    if gate.op != "shift" or scalar(build, gate) != 1:
        return None
    curve = operand(build, gate)
    if curve.op == "erf":
        return of_erf(build, x, operand(build, curve))
    return of_tanh(build, x, operand(build, curve)) if curve.op == "tanh" else None


def of_sign(build: Builder, x: Node, gate: Node) -> Scaled | None:
    """Return `|x|·sign(x) = relu(|x|)·sign(x) = x`."""
    inner, size = operand(build, gate), x
    while size.op == "relu":
        size = operand(build, size)
    low, tie, high, bend = (gate[name] for name in ("low", "tie", "high", "bend"))
    is_sign = (low, tie, high) == (-1, 0, 1) and not np.any(bend)
    matches = is_sign and size.op == "abs" and operand(build, size) == inner
    return Scaled(inner, ONE) if matches else None


def of_sigmoid(build: Builder, x: Node, inner: Node) -> Scaled | None:
    """Return `x·sigmoid(k·x) = silu(k·x)/k`."""
    argument = unscaled(build, inner)
    if argument.node != x or not positive(argument.factor):
        return None
    silu = build.add("silu", inner)
    return Scaled(silu, quotient(1.0, argument.factor))


def of_erf(build: Builder, x: Node, inner: Node) -> Scaled | None:
    """Return `x·(1 + erf(k·x)) = 2·gelu(√2·k·x)/(√2·k)`, where √2·k is near to 1 in most files."""
    argument = unscaled(build, inner)
    if argument.node != x or not positive(argument.factor):
        return None
    k = product(argument.factor, rounded(math.sqrt(2), operations=1))
    gelu = build.add("gelu", build.add("scale", x, weights=(k,)))
    return Scaled(gelu, quotient(2.0, k))


def of_tanh(build: Builder, x: Node, inner: Node) -> Scaled | None:
    """Return `x·(1 + tanh(k·(x + c·x³))) = 2·gelu_tanh(x)`, k and c numbers of the file."""
    argument = unscaled(build, inner)
    total = argument.node
    if total.op != "add" or not positive(argument.factor):
        return None
    first, second = (unscaled(build, build.nodes[name]) for name in total.inputs)
    plain, cubic = (first, second) if first.node == x else (second, first)
    cube = cubic.node.op == "power" and cubic.node["exponent"] == 3
    if plain != Scaled(x, ONE) or not cube or operand(build, cubic.node) != x:
        return None
    if argument.factor.formed.depth or cubic.factor.formed.depth or not positive(cubic.factor):
        return None
    factor, cube_factor = float(argument.factor.array), float(cubic.factor.array)
    gelu = build.add("gelu_tanh", x, factor=factor, cubic=cube_factor)
    return Scaled(gelu, Constant("", np.asarray(2.0)))


def unscaled(build: Builder, x: Node) -> Scaled:
    """Return x as a multiple of a node that is not itself one."""
    factor = ONE
    while x.op == "scale" and (number := scalar_of(build, x)) is not None:
        factor = number if factor == ONE else product(factor, number)
        x = operand(build, x)
    return Scaled(x, factor)


def operand(build: Builder, node: Node) -> Node:
    """Return the only operand of a node."""
    return build.nodes[node.inputs[0]]


def scalar_of(build: Builder, node: Node) -> Constant | None:
    """Return the weight of a scale or a shift, where all its numbers are the same."""
    (name,) = node.weights
    array, formed = build.weights[name], build.formed.get(name, EXACT)
    if not array.size or not np.all(array == array.flat[0]):
        return None
    if formed.size is not None:
        return None
    return Constant("", np.asarray(array.flat[0]), formed)


def scalar(build: Builder, node: Node) -> float | None:
    """Return the same as a number, where it stands in the file as it is."""
    constant = scalar_of(build, node)
    return None if constant is None or constant.formed.depth else float(constant.array)


def positive(factor: Constant) -> bool:
    return bool(factor.array > 0)
