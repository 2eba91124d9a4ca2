"""Defines how ONNX operators on constants round: in float64, with sizes and depths, op by op.

Every operator that computes with real numbers belongs to one of the kinds here; any other is
refused, since its rounding would not be known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from boundmesh.graph import constant as constants
from boundmesh.graph.constant import Constant, floating, made, negated, wide
from boundmesh.graph.formed import UPWARD, Formed, size_of
from boundmesh.read.translate.step import Step, positive_axis

# These operators move numbers, or choose among them by operands that are not computed. Their sizes
# move in the same way.
MOVING = frozenset(
    ("Compress", "Concat", "ConstantOfShape", "DepthToSpace", "Dropout", "Expand", "EyeLike",
     "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "OneHot", "Pad", "Reshape",
     "ReverseSequence", "Scatter", "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split",
     "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where")
)  # fmt: skip

# The error of the largest or smallest of some numbers is at most the largest error among them.
LARGEST = {"Clip": "Max", "Max": "Max", "Min": "Max", "ReduceMax": "ReduceMax",
           "ReduceMin": "ReduceMax", "MaxPool": "MaxPool",
           "GlobalMaxPool": "GlobalMaxPool"}  # fmt: skip

EXACT_KINDS = MOVING | LARGEST.keys()
"""Operators whose results are exact where their operands are."""

# These functions jump: the result must be the same for exact numbers and for rounded ones.
JUMPING = frozenset(
    ("ArgMax", "ArgMin", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "IsInf", "IsNaN",
     "Less", "LessOrEqual", "Mod", "NonZero", "QuantizeLinear", "Range", "Round", "Shape", "Sign",
     "Size", "TopK", "Unique")
)  # fmt: skip

# These operators sum products of one number of each operand, or take means. Applied to the sizes
# they give the size of the result.
MULTILINEAR = frozenset(
    ("AveragePool", "Conv", "ConvTranspose", "CumSum", "Einsum", "GlobalAveragePool", "Mean",
     "ReduceL1", "ReduceMean", "ReduceSum", "Sum")
)  # fmt: skip

# |f(x + e) − f(x)| ≤ |e|, and libraries give f to 4 rounding errors.
NOT_STEEP = frozenset(("Abs", "Atan", "Cos", "Relu", "Sigmoid", "Sin", "Softsign", "Tanh"))

# Functions that libraries give to 4 rounding errors, of numbers that are not computed.
FUNCTIONS = frozenset(
    ("Acos", "Acosh", "Asin", "Asinh", "Atanh", "Cosh", "Erf", "Exp", "Log", "Pow", "Sinh", "Tan")
)
LIBRARY = 4

Again = Callable[[Sequence[np.ndarray | None], str], Sequence[np.ndarray]]
"""Computes an operator with the node's attributes, but with other operands."""


def formed(step: Step, results: Sequence[np.ndarray], again: Again) -> list[Formed]:
    """Return the results of the step's operator, computed in float64, with how they were formed.

    Raises UnsupportedError for an operator whose rounding is not known.
    """
    operands = [value if isinstance(value, Constant) else None for value in step.operands]
    held = [operand for operand in operands if operand is not None]
    depths = [operand.formed.depth for operand in held]
    if step.op in EXACT_KINDS:
        sizes = again([sizes_of(operand) for operand in operands], LARGEST.get(step.op, step.op))
        return [Formed(np.asarray(size, np.float64), max(depths)) for size in sizes]
    if len(results) == 1 and step.op in MULTILINEAR:
        counts = [operand.array.size for operand in held]
        terms = len(held) + (math.prod(counts) if step.op == "Einsum" else max(counts))
        (size,) = again([sizes_of(operand) for operand in operands], step.op)
        return [Formed(size * (UPWARD + terms * 2.0**-52), sum(depths) + terms)]
    if len(results) == 1 and step.op in NOT_STEEP:
        size = np.abs(results[0]) + (size_of(wide(held[0]), held[0].formed) if any(depths) else 0)
        return [Formed(np.asarray(size * UPWARD), max(depths) + LIBRARY)]
    if step.op == "Exp":
        # exp(e) − 1 ≤ e/(1 − e), as in a quotient.
        reach = float(np.max(size_of(wide(held[0]), held[0].formed), initial=0))
        return [Formed(None, math.ceil(max(depths) * (1 + reach)) + LIBRARY)]
    if step.op in FUNCTIONS and not any(depths):
        return [Formed(None, LIBRARY)]
    raise step.refuse("how it rounds constants is not known; let the exporter fold them")


def sizes_of(constant: Constant | None) -> np.ndarray | None:
    """Return the sizes of real numbers as a whole array, and other operands as they are."""
    if constant is None or not real(constant.array):
        return None if constant is None else constant.array
    size = size_of(wide(constant), constant.formed)
    return np.array(np.broadcast_to(size, constant.shape))


def real(array: np.ndarray) -> bool:
    """Return True if the array holds real numbers; numpy has no kind for the short float types."""
    return array.dtype.kind == "f" or array.dtype.name.startswith(("bfloat", "float"))


def difference(a: Constant, b: Constant) -> Constant:
    return constants.sum_of(a, negated(b))


def power(base: Constant, exponent: Constant) -> Constant:
    """Return `a^n`; for computed numbers and whole n ≥ 1 with size `size^n` and `n·depth` more."""
    array = np.power(wide(base), wide(exponent))
    if not base.formed.depth and not exponent.formed.depth:
        return made(array, Formed(None, LIBRARY))
    n = wide(exponent)
    if exponent.formed.depth or np.any(n < 1) or np.any(n != np.floor(n)):
        raise ValueError("a power of computed numbers needs whole exponents from 1 on")
    size = np.power(size_of(wide(base), base.formed), n) * (UPWARD + 2.0**-50)
    return made(array, Formed(np.asarray(size), int(n.max()) * base.formed.depth + LIBRARY))


def gemm(step: Step) -> Constant:
    """Return `α·A'B' + β·C`."""
    a, b = step.known(0, "A"), step.known(1, "B")
    a = a.moved(np.transpose) if step.attribute("transA", 0) else a
    b = b.moved(np.transpose) if step.attribute("transB", 0) else b
    scaled = constants.product(constants.matrix_product(a, b), step.real("alpha", 1.0))
    if step.operand(2) is None:
        return scaled
    return constants.sum_of(scaled, constants.product(step.known(2, "C"), step.real("beta", 1.0)))


def of_all(rule: Callable[..., Constant]) -> Callable[[Step], Constant]:
    """Make a rule of all operands of a step."""
    return lambda step: rule(*(step.known(place, "operand") for place in range(len(step.operands))))


ARITHMETIC: dict[str, Callable[[Step], Constant]] = {
    "Add": of_all(constants.sum_of),
    "Sub": of_all(difference),
    "Mul": of_all(constants.product),
    "Div": of_all(constants.quotient),
    "Neg": of_all(negated),
    "Sqrt": of_all(constants.root),
    "Reciprocal": of_all(lambda a: constants.quotient(1.0, a)),
    "MatMul": of_all(constants.matrix_product),
    "Pow": of_all(power),
    "Gemm": gemm,
}
"""The operators on real numbers that are computed here."""


def cast(step: Step) -> Constant:
    """Convert numbers to a type; a cast to a real type does not round.

    Raises UnsupportedError where computed numbers become whole numbers and rounding decides which.
    """
    return converted(step, step.known(0, "operand"), step.attribute("to"))


def cast_like(step: Step) -> Constant:
    import onnx

    like = step.known(1, "type").array.dtype
    return converted(step, step.known(0, "operand"), onnx.helper.np_dtype_to_tensor_dtype(like))


def converted(step: Step, operand: Constant, to: int) -> Constant:
    import onnx

    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(to))
    array = operand.array
    if not real(np.empty(0, dtype)):
        result = array.astype(dtype)
        short = array.astype(np.float32).astype(dtype) if operand.formed.depth else result
        if not np.array_equal(result, short):
            raise step.refuse("its result depends on how its operand is rounded")
        return Constant("", result)
    if array.dtype.kind not in "iubf" and not real(array):
        return Constant("", array.astype(dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        kept = array.astype(dtype)
    if np.array_equal(kept.astype(np.float64), array.astype(np.float64), equal_nan=True):
        return Constant("", kept, operand.formed) if real(array) else Constant("", kept)
    return Constant("", floating(array), Formed(operand.formed.size, operand.formed.depth + 1))


def dequantized(step: Step) -> Constant:
    """Return `(x − zero)·scale`.

    Zero and scale are one number, one for each index along `axis`, or one for each block.
    """
    x, scale = step.known(0, "x"), step.known(1, "scale")
    zero = step.operand(2)
    rank, block = len(x.shape), step.attribute("block_size", 0)
    axis = positive_axis(step.attribute("axis", 1), rank)

    def along(array: np.ndarray) -> np.ndarray:
        if block:
            wide = np.repeat(array, block, axis)
            return wide[(slice(None),) * axis + (slice(x.shape[axis]),)]
        if array.ndim == 0 or array.size == 1:
            return array.reshape(())
        return array.reshape([-1 if place == axis else 1 for place in range(rank)])

    whole = x.array.astype(np.float64)
    if isinstance(zero, Constant):
        # Differences of whole numbers of at most 32 bits.
        whole = whole - along(zero.array.astype(np.float64))
    return constants.product(Constant("", whole), scale.moved(along))


CONVERSIONS: dict[str, Callable[[Step], Constant]] = {
    "Cast": cast,
    "CastLike": cast_like,
    "DequantizeLinear": dequantized,
}
"""The operators that convert other numbers to real ones, or real numbers to others."""
