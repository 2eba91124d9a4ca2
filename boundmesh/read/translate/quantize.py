"""ONNX operators on quantised numbers: whole numbers, each for a step of a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import known, negated, product, quotient
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import clip, scale, shift
from boundmesh.read.translate.step import TRANSLATIONS, Step, Value, positive_axis, translates

NARROW = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}


def limits(step: Step, zero: Constant) -> tuple[float, float]:
    """Return the least and the largest number of the quantised type, that of the zero point."""
    kind = zero.array.dtype
    if kind.name in NARROW:
        return NARROW[kind.name]
    if kind.kind not in "iu":
        raise step.refuse(f"it rounds to {kind.name}; whole numbers are supported")
    info = np.iinfo(kind)
    return float(info.min), float(info.max)


def along(constant: Constant, axis: int, rank: int) -> Constant:
    """Shape one number, or one per index along `axis`, so that it broadcasts."""
    if constant.array.size == 1:
        return constant.moved(lambda array: array.reshape(()))
    return constant.moved(
        lambda array: array.reshape([-1 if place == axis else 1 for place in range(rank)])
    )


def settings(step: Step, first: int, rank: int) -> tuple[Constant, Constant]:
    """Return the scale, operand `first`, and the zero point after it, which may be left out (0)."""
    if step.attribute("block_size", 0):
        raise step.refuse("it has blocks; one scale, or one per index of an axis, is supported")
    axis = positive_axis(step.attribute("axis", 1), rank)
    zero = step.optional_constant(first + 1, "zero point")
    factor = along(step.known(first, "scale"), axis, rank)
    none = Constant("", np.zeros((), kind_of(step)))
    return factor, along(zero, axis, rank) if zero is not None else none


def kind_of(step: Step) -> np.dtype:
    import onnx

    kind = step.attribute("output_dtype", 0) or onnx.TensorProto.UINT8
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def quantized(step: Step, x: Node, factor: Constant, zero: Constant) -> Node:
    """Return `clip(round(x/scale) + zero, least, largest)`."""
    build, (least, largest) = step.build, limits(step, zero)
    whole = build.add("round", scale(build, x, quotient(1.0, factor)))
    moved = shift(build, whole, real(zero)) if zero.array.any() else whole
    return clip(build, moved, least, largest)


def real(constant: Constant) -> Constant:
    return Constant("", constant.array.astype(np.float64), constant.formed)


def restored(build: Builder, x: Value, factor: Constant, zero: Constant | None) -> Value:
    """Return `(x − zero)·scale`."""
    if isinstance(x, Constant):
        whole = real(x)
        if zero is not None:
            whole = Constant("", whole.array - zero.array.astype(np.float64))
        return product(whole, factor)
    if zero is not None and zero.array.any():
        x = shift(build, x, negated(real(zero)))
    return scale(build, x, factor)


@translates("QuantizeLinear")
def quantize(step: Step) -> Value:
    x = step.node()
    return quantized(step, x, *settings(step, 1, len(x.shape)))


@translates("DequantizeLinear")
def dequantize(step: Step) -> Value:
    x = step.node()
    return restored(step.build, x, *settings(step, 1, len(x.shape)))


def as_step(step: Step, op: str, operands: Sequence[Value | None]) -> Node:
    """Return the result of another ONNX operator with the attributes of this one."""
    result = TRANSLATIONS[op](replace(step, op=op, operands=tuple(operands)))
    assert isinstance(result, Node)
    return result


def without_zero(step: Step, place: int, zero: int, axis: int) -> Value:
    """Return operand `place` minus the zero point, operand `zero`: exact whole numbers."""
    value, point = step.value(place), step.optional_constant(zero, "zero point")
    rank = len(value.shape)
    held = None if point is None else along(point, axis % rank, rank)
    return restored(step.build, value, known(1.0), held)


@translates("MatMulInteger")
def matmul_integer(step: Step) -> Value:
    """Return `(A − a)·(B − b)`."""
    first, second = without_zero(step, 0, 2, -2), without_zero(step, 1, 3, -1)
    return as_step(step, "MatMul", (first, second))


@translates("ConvInteger")
def conv_integer(step: Step) -> Value:
    """Return the convolution of `x − x₀` with `w − w₀`."""
    return as_step(step, "Conv", (without_zero(step, 0, 2, 1), without_zero(step, 1, 3, 0)))


def scaled_operand(step: Step, place: int, axis: int) -> Value:
    """Restore operand `place` of a QLinear operator, whose scale and zero point follow it."""
    value, rank = step.value(place), len(step.value(place).shape)
    factor = along(step.known(place + 1, "scale"), axis % rank, rank)
    zero = along(step.known(place + 2, "zero point"), axis % rank, rank)
    return restored(step.build, value, factor, zero)


@translates("QLinearMatMul")
def qlinear_matmul(step: Step) -> Value:
    """Quantise the product of restored operands."""
    result = as_step(step, "MatMul", (scaled_operand(step, 0, -2), scaled_operand(step, 3, -1)))
    return quantized(step, result, step.known(6, "scale"), step.known(7, "zero point"))


@translates("QLinearConv")
def qlinear_conv(step: Step) -> Value:
    """Quantise the convolution of restored operands; the bias counts products of scales."""
    operands = [scaled_operand(step, 0, 1), scaled_operand(step, 3, 0)]
    if step.operand(8) is not None:
        scales = product(step.known(1, "scale"), step.known(4, "scale"))
        operands.append(product(real(step.known(8, "bias")), scales))
    result = as_step(step, "Conv", operands)
    return quantized(step, result, step.known(6, "scale"), step.known(7, "zero point"))
