"""ONNX matrix products and normalisations."""

from __future__ import annotations

import math

import numpy as np

from boundmesh.graph import constant as constants
from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import negated, quotient, root, sum_of
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import minus, plus, scale, shift, times
from boundmesh.read.translate.step import Step, Value, positive_axis, translates


def swap_last(build: Builder, x: Node) -> Node:
    """Return x with its last two axes exchanged."""
    *leading, row, column = range(len(x.shape))
    return build.add("transpose", x, perm=(*leading, column, row))


def matrix_product(build: Builder, x: Value, y: Value) -> Node:
    """Return `x @ y` as numpy defines it, at most one operand constant."""
    if isinstance(y, Constant) and (matrix := flat_matrix(y)) is not None:
        assert isinstance(x, Node)
        product = build.add("linear", x, weights=(matrix.moved(np.transpose),))
        lead = (1,) * (len(y.shape) - max(len(x.shape), 2))
        shape = lead + product.shape
        return build.reshape(product, shape[:-1] if len(y.shape) == 1 else shape)
    if isinstance(x, Constant) and flat_matrix(x) is not None and len(x.shape) > 1:
        # (y' x')' with the constant on the right.
        assert isinstance(y, Node)
        column = build.reshape(y, (*y.shape, 1)) if len(y.shape) == 1 else y
        transposed_x = x.moved(lambda array: np.swapaxes(array, -1, -2))
        product = swap_last(build, matrix_product(build, swap_last(build, column), transposed_x))
        return build.reshape(product, product.shape[:-1]) if len(y.shape) == 1 else product
    left = build.constant(x) if isinstance(x, Constant) else x
    return bounded_product(build, left, build.constant(y) if isinstance(y, Constant) else y)


def flat_matrix(constant: Constant) -> Constant | None:
    """Return the constant as one matrix, where it is one; a vector is a column."""
    shape = constant.shape
    if len(shape) == 1:
        return constant.moved(lambda array: array[:, None])
    if not set(shape[:-2]) <= {1}:
        return None
    return constant.moved(lambda array: array.reshape(shape[-2:]))


def bounded_product(build: Builder, x: Node, y: Node) -> Node:
    """Return `x @ y` of two nodes: leading axes broadcast, a vector made a row or a column."""
    left = build.reshape(x, (1, *x.shape)) if len(x.shape) == 1 else x
    right = build.reshape(y, (*y.shape, 1)) if len(y.shape) == 1 else y
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = build.broadcast(left, (*lead, *left.shape[-2:]))
    right = build.broadcast(right, (*lead, *right.shape[-2:]))
    product = build.add("matmul", left, right)
    shape = (*lead, *x.shape[-2:-1], *(y.shape[-1:] if len(y.shape) > 1 else ()))
    return build.reshape(product, shape)


@translates("MatMul")
def matmul(step: Step) -> Value:
    return matrix_product(step.build, step.value(0), step.value(1))


@translates("Gemm")
def gemm(step: Step) -> Value:
    """Return `α·A'B' + β·C` with A', B' the operands or their transposes."""
    build, x, y, bias = step.build, step.value(0), step.value(1), step.operand(2)
    x = flipped(build, x) if step.attribute("transA", 0) else x
    y = flipped(build, y) if step.attribute("transB", 0) else y
    if isinstance(x, Constant) and isinstance(y, Constant):
        x = build.constant(x)
    product = matrix_product(build, x, y)
    alpha, beta = step.real("alpha", 1.0), step.real("beta", 1.0)
    if alpha != 1:
        product = scale(build, product, alpha)
    if bias is None:
        return product
    if beta != 1:
        bias = scaled(build, bias, beta)
    return plus(build, product, bias)


def scaled(build: Builder, value: Value, factor: float) -> Value:
    if isinstance(value, Constant):
        return constants.product(value, factor)
    return scale(build, value, factor)


def flipped(build: Builder, value: Value) -> Value:
    if isinstance(value, Constant):
        return value.moved(np.transpose)
    return swap_last(build, value)


@translates("BatchNormalization")
def batch_normalization(step: Step) -> Value:
    """Return `x·c + (bias − mean·c)` with `c = γ/√(variance + ε)` per channel, in float64."""
    if step.attribute("training_mode", 0) or not step.single:
        raise step.refuse("it is in training mode; export the network in evaluation mode")
    if step.attribute("spatial", 1) == 0:
        raise step.refuse("spatial=0 normalises every position alone; spatial=1 is supported")
    if any(isinstance(step.value(index), Node) for index in (3, 4)):
        return batch_of_its_own(step)
    names = ("scale", "bias", "mean", "variance")
    parts = [step.known(index, name) for index, name in enumerate(names, start=1)]
    gain, bias, mean, variance = parts
    factor = quotient(gain, root(sum_of(variance, step.real("epsilon", 1e-5))))
    offset = sum_of(bias, negated(constants.product(mean, factor)))
    x = step.node()
    shape = (-1, *(1,) * (len(x.shape) - 2))
    scaled = scale(step.build, x, factor.moved(lambda array: array.reshape(shape)))
    return shift(step.build, scaled, offset.moved(lambda array: array.reshape(shape)))


def batch_of_its_own(step: Step) -> Node:
    """Return `(x − mean)/√(variance + ε)·γ + bias` with the mean and variance of x itself.

    PyTorch writes so a normalisation that keeps no running statistics.
    """
    build, x = step.build, step.node()
    # ONNX Runtime rounds other operations than these.
    build.unbounded.add(step.op)
    shape = (-1, *(1,) * (len(x.shape) - 2))
    gain, bias, mean = (channelwise(build, step.value(index), shape) for index in (1, 2, 3))
    variance = build.reshape(step.node(4), (x.shape[1], *shape[1:]))
    radicand = shift(build, variance, step.real("epsilon", 1e-5))
    inverse = build.add("reciprocal", build.add("sqrt", radicand))
    normal = times(build, minus(build, x, mean), inverse)
    return plus(build, times(build, normal, gain), bias)


def channelwise(build: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    """Shape one number for each channel so that it broadcasts along all other axes."""
    if isinstance(value, Constant):
        return value.moved(lambda array: array.reshape(shape))
    return build.reshape(value, (value.shape[0], *shape[1:]))


def standardized(build: Builder, x: Node, axes: tuple[int, ...], epsilon: float) -> Node:
    """Return `(x − mean)/√(variance + ε)`, mean and variance over `axes`."""
    count = float(np.prod([x.shape[axis] for axis in axes]))
    share = quotient(1.0, count)
    mean = scale(build, build.add("sum", x, axes=axes), share)
    centered = minus(build, x, mean)
    squares = build.add("sum", build.add("power", centered, exponent=2.0), axes=axes)
    variance = shift(build, scale(build, squares, share), epsilon)
    normal = times(build, centered, build.add("reciprocal", build.add("sqrt", variance)))
    return limited(build, normal, math.sqrt(max(count - 1, 0)))


def limited(build: Builder, x: Node, limit: float) -> Node:
    """Limit the elements of x, with a little room for the rounding of the network."""
    return build.add("limited", x, limit=limit * (1 + 2.0**-10) + 2.0**-20)


@translates("LayerNormalization")
def layer_normalization(step: Step) -> Value:
    """Normalise over the axes from `axis` on, then `·scale + bias`."""
    if not step.single:
        raise step.refuse("its mean and deviation are outputs too; only the first is supported")
    x = step.node()
    first = positive_axis(step.attribute("axis", -1), len(x.shape))
    axes = tuple(range(first, len(x.shape)))
    result = standardized(step.build, x, axes, step.real("epsilon", 1e-5))
    result = times(step.build, result, step.value(1))
    bias = step.operand(2)
    return result if bias is None else plus(step.build, result, bias)


@translates("InstanceNormalization")
def instance_normalization(step: Step) -> Value:
    """Normalise over the spatial axes, then `·scale + bias` per channel."""
    x = step.node()
    axes = tuple(range(2, len(x.shape)))
    shape = (-1, *(1,) * len(axes))
    gain, bias = (
        step.known(index, name).moved(lambda array: array.reshape(shape))
        for index, name in ((1, "scale"), (2, "bias"))
    )
    result = standardized(step.build, x, axes, step.real("epsilon", 1e-5))
    return shift(step.build, scale(step.build, result, gain), bias)
