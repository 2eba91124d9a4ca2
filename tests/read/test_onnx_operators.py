"""Every translated ONNX operator computes what ONNX Runtime computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from onnx import helper

from boundmesh.read.onnx import loads
from boundmesh.read.translate import TRANSLATIONS
from tests.operators import judge  # noqa: F401 (it fills GENERATORS)
from tests.operators.form import GENERATORS

RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Sample:
    """One node: tuples are shapes of network inputs, arrays constants, None is left out."""

    op: str
    operands: tuple[tuple[int, ...] | np.ndarray | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    low: float = -2.0

    def __str__(self) -> str:
        operands = [operand.shape if isinstance(operand, np.ndarray) else operand
                    for operand in self.operands]  # fmt: skip
        return f"{self.op}-{self.opset} {operands} {self.attributes}"


def sample(op: str, *operands: Any, opset: int = 17, outputs: int = 1, low: float = -2.0,
           **attributes: Any) -> Sample:  # fmt: skip
    return Sample(op, operands, attributes, opset, outputs, low)


def real(*shape: int) -> np.ndarray:
    return RANDOM.uniform(-1, 1, shape).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


IMAGE = (1, 3, 6, 5)
VECTOR = (1, 5)
POSITIVE = ("Log", "Sqrt", "Reciprocal", "ReduceLogSum", "ReduceL2")

ELEMENTWISE = [
    sample(op, VECTOR, low=0.5 if op in POSITIVE else -2.0)
    for op in ("Relu", "Sigmoid", "Tanh", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Sin", "Cos",
               "Floor", "Ceil",
               "Neg", "Identity", "Softplus", "Elu", "Celu", "Selu", "HardSigmoid", "HardSwish",
               "LeakyRelu")
]  # fmt: skip

ACTIVATIONS = [
    sample("LeakyRelu", VECTOR, alpha=0.3),
    sample("LeakyRelu", VECTOR, alpha=0.0),
    sample("LeakyRelu", VECTOR, alpha=1.7),
    sample("LeakyRelu", VECTOR, alpha=-0.4),
    sample("PRelu", IMAGE, real(3, 1, 1)),
    sample("PRelu", IMAGE, np.full((1,), 0.2, np.float32)),
    sample("HardSigmoid", VECTOR, alpha=0.7, beta=0.1),
    sample("Elu", VECTOR, alpha=0.6),
    sample("Celu", VECTOR, alpha=0.6),
    sample("Selu", VECTOR, alpha=1.2, gamma=0.9),
    sample("Gelu", VECTOR, approximate="tanh", opset=20),
    sample("Swish", VECTOR, alpha=1.5, opset=24),
    sample("Softmax", (2, 3, 4)),
    sample("Softmax", (2, 3, 4), axis=1),
    sample("Softmax", (2, 3, 4), opset=9),
    sample("Softmax", (2, 3, 4), axis=2, opset=12),
    sample("LogSoftmax", (2, 3, 4), axis=1),
    sample("LogSoftmax", (2, 3, 4), opset=11),
]

ARITHMETIC = [
    *(sample(op, VECTOR, real(5)) for op in ("Add", "Sub", "Mul", "Max", "Min", "Div")),
    *(sample(op, real(5), VECTOR) for op in ("Add", "Sub", "Mul", "Max", "Min")),
    *(sample(op, (2, 3), (2, 3), opset=7) for op in ("Add", "Sub", "Mul", "Max", "Min")),
    *(sample(op, (2, 1), (3,)) for op in ("Add", "Sub", "Mul", "Max", "Min")),
    *(sample(op, (3,), real(2, 3)) for op in ("Add", "Sub", "Mul", "Max", "Min", "Div")),
    *(sample(op, (3,), real(3), (3,), (1,)) for op in ("Sum", "Mean", "Max", "Min")),
    sample("Div", real(3), (1, 3), low=0.5),
    sample("Div", (2, 3), (2, 3), low=0.5),
    sample("Pow", VECTOR, number(2)),
    sample("Pow", VECTOR, number(3)),
    sample("Pow", VECTOR, number(1)),
    sample("Pow", VECTOR, number(0.5), low=0.1),
    sample("Pow", VECTOR, number(-1), low=0.1),
    sample("Pow", VECTOR, number(1.5), low=0.1),
    sample("Pow", number(2), VECTOR),
    sample("Clip", VECTOR, number(-0.5), number(0.75)),
    sample("Clip", VECTOR, number(0), number(1)),
    sample("Clip", VECTOR, number(-0.5)),
    sample("Clip", VECTOR, None, number(0.75)),
    sample("Clip", VECTOR),
    sample("Clip", VECTOR, min=-0.5, max=0.75, opset=7),
    sample("Clip", VECTOR, max=0.75, opset=10),
    sample("Clip", VECTOR, min=-3.4028234663852886e38, max=0.75, opset=10),
    sample("Clip", VECTOR, number(-0.5), number(np.inf)),
    sample("Where", np.array([True, False, True]), (2, 3), (3,)),
    sample("Where", np.array([[True], [False]]), (2, 3), real(3)),
    sample("Where", np.array([True, False, True]), real(2, 1), (2, 3)),
    sample("Where", np.array([True, False]), (2,), np.array([np.inf, 2], np.float32)),
]

PRODUCTS = [
    sample("Gemm", (2, 3), real(3, 4), real(4)),
    sample("Gemm", (2, 3), real(4, 3), real(2, 1), transB=1, alpha=0.5, beta=2.0),
    sample("Gemm", (3, 2), real(3, 4), transA=1),
    sample("Gemm", real(2, 3), (3, 4), real(2, 4)),
    sample("Gemm", real(3, 2), (4, 3), transA=1, transB=1),
    sample("Gemm", (2, 3), (3, 4), (4,), beta=0.5),
    sample("Gemm", (2, 3), real(3, 4), real(1), opset=7),
    sample("MatMul", (2, 3), real(3, 4)),
    sample("MatMul", (3,), real(3, 4)),
    sample("MatMul", (2, 5, 3), real(3, 4)),
    sample("MatMul", (2, 5, 3), real(3)),
    sample("MatMul", (2, 5, 3), real(2, 3, 4)),
    sample("MatMul", (5, 3), real(1, 3, 4)),
    sample("MatMul", (5, 3), real(2, 3, 4)),
    sample("MatMul", real(4, 3), (3, 2)),
    sample("MatMul", real(4, 3), (2, 3, 5)),
    sample("MatMul", real(4, 3), (3,)),
    sample("MatMul", real(3), (3, 2)),
    sample("MatMul", real(2, 4, 3), (3, 5)),
    sample("MatMul", (2, 3, 4), (2, 4, 5)),
    sample("MatMul", (2, 1, 3, 4), (3, 4, 5)),
    sample("MatMul", (3,), (3, 4)),
    sample("MatMul", (2, 3), (3,)),
    sample("MatMul", (3,), (3,)),
    *(sample("BatchNormalization", shape, real(3), real(3), real(3), abs(real(3)) + 0.1,
             opset=opset)
      for shape in (IMAGE, (2, 3), (1, 3, 4)) for opset in (7, 9, 14, 15)),
    sample("LayerNormalization", (2, 3, 4), real(4), real(4)),
    sample("LayerNormalization", (2, 3, 4), real(3, 4), axis=1, epsilon=1e-2),
    sample("InstanceNormalization", IMAGE, real(3), real(3)),
]  # fmt: skip

CONVOLUTIONS = [
    sample("Conv", IMAGE, real(4, 3, 3, 2), real(4)),
    sample("Conv", IMAGE, real(4, 3, 3, 2), strides=[2, 1], pads=[1, 0, 2, 1]),
    sample("Conv", IMAGE, real(6, 1, 3, 3), group=3, dilations=[2, 1]),
    sample("Conv", (2, 3, 6, 5), real(4, 3, 3, 2), real(4), opset=7),
    sample("Conv", (1, 3, 9), real(2, 3, 4), pads=[2, 0], dilations=[2]),
    sample("Conv", (1, 2, 4, 4, 3), real(2, 2, 2, 2, 2), pads=[1, 0, 0, 0, 0, 1]),
    *(sample("Conv", IMAGE, real(2, 3, 3, 2), auto_pad=mode, strides=[2, 2])
      for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    sample("ConvTranspose", IMAGE, real(3, 4, 3, 2), real(4)),
    sample("ConvTranspose", IMAGE, real(3, 2, 3, 3), strides=[2, 3], pads=[1, 0, 0, 2],
           output_padding=[1, 0]),
    sample("ConvTranspose", (1, 4, 3, 3), real(4, 3, 2, 2), group=2, dilations=[2, 1]),
    sample("ConvTranspose", (1, 3, 7), real(3, 2, 3), strides=[2]),
    sample("ConvTranspose", IMAGE, real(3, 2, 3, 3), strides=[2, 2], output_shape=[12, 10]),
    *(sample("ConvTranspose", IMAGE, real(3, 2, 3, 3), strides=[2, 2], auto_pad=mode)
      for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")),
]  # fmt: skip

POOLS = [
    sample("MaxPool", IMAGE, kernel_shape=[2, 2]),
    sample("MaxPool", IMAGE, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 0, 1]),
    sample("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    sample("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]),
    sample("MaxPool", (2, 3, 7), kernel_shape=[3], strides=[2], opset=8),
    sample("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    sample("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    sample("AveragePool", IMAGE, kernel_shape=[2, 2]),
    sample("AveragePool", IMAGE, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 0, 1]),
    sample("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    sample("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, opset=19),
    sample("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
           ceil_mode=1, count_include_pad=1, opset=19),
    sample("AveragePool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2], opset=19),
    sample("AveragePool", (1, 3, 7), kernel_shape=[3], auto_pad="SAME_UPPER", opset=7),
    sample("GlobalAveragePool", IMAGE),
    sample("GlobalMaxPool", IMAGE),
]  # fmt: skip

SHAPES = [
    sample("Reshape", IMAGE, whole(1, -1)),
    sample("Reshape", IMAGE, whole(0, 3, -1, 2)),
    sample("Reshape", (2, 6), whole(3, 4), allowzero=1),
    sample("Flatten", IMAGE),
    sample("Flatten", IMAGE, axis=2),
    sample("Flatten", IMAGE, axis=0, opset=7),
    sample("Flatten", IMAGE, axis=-1),
    sample("Squeeze", (1, 3, 1, 2), whole(0, -2)),
    sample("Squeeze", (1, 3, 1, 2)),
    sample("Squeeze", (1, 3, 1, 2), axes=[2], opset=11),
    sample("Unsqueeze", (3, 2), whole(0, -1)),
    sample("Unsqueeze", (3, 2), axes=[1], opset=7),
    sample("Transpose", IMAGE),
    sample("Transpose", IMAGE, perm=[0, 2, 3, 1]),
    sample("Dropout", VECTOR, opset=7),
    sample("Dropout", VECTOR, ratio=0.3, opset=10),
    sample("Dropout", VECTOR, number(0.3), np.array(False), opset=13),
    sample("Cast", VECTOR, to=1),
    sample("CastLike", VECTOR, number(1)),
    sample("Expand", (3, 1), whole(2, 1, 4)),
    sample("Expand", (3, 1), whole(1)),
    sample("DepthToSpace", (1, 8, 2, 3), blocksize=2),
    sample("DepthToSpace", (1, 8, 2, 3), blocksize=2, mode="CRD"),
    sample("SpaceToDepth", (1, 2, 4, 6), blocksize=2),
]

SELECTIONS = [
    sample("Slice", IMAGE, whole(1, 0), whole(3, -1), whole(1, 3), whole(1, 2)),
    sample("Slice", IMAGE, whole(-1), whole(-100), whole(2), whole(-2)),
    sample("Slice", (5, 4), whole(1, 2), whole(2**62, 4)),
    sample("Slice", IMAGE, starts=[1, 0], ends=[3, 4], axes=[1, -1], opset=9),
    sample("Gather", IMAGE, whole(2, 0, 2), axis=1),
    sample("Gather", IMAGE, np.array(1, np.int64), axis=2),
    sample("Gather", (4, 3), np.array([[0, -1], [2, 2]], np.int64)),
    sample("Gather", (4, 3), np.array([3, 1], np.int32), axis=-1 - 1),
    sample("Split", (2, 6), whole(1, 2, 3), axis=1, outputs=3),
    sample("Split", (2, 6), axis=-1, outputs=2),
    sample("Split", (2, 6), split=[4, 2], axis=1, outputs=2, opset=11),
    sample("Split", (2, 7), axis=1, num_outputs=3, outputs=3, opset=18),
    sample("Concat", (2, 3), (2, 1), axis=1),
    sample("Concat", (2, 3), real(2, 2), (2, 1), axis=-1),
    sample("Tile", (2, 3), whole(2, 3)),
    sample("Pad", IMAGE, whole(0, 1, 0, 2, 0, 0, 3, 1), number(0.7)),
    sample("Pad", IMAGE, whole(0, 0, -1, 1, 0, 0, 0, -2)),
    sample("Pad", (4, 5), whole(1, 2), number(-1), whole(-1), opset=18),
    sample("Pad", (4, 5), pads=[1, 0, 2, 1], value=0.5, opset=7),
    *(sample("Pad", (4, 5), whole(1, 2, 3, 0), mode=mode) for mode in ("reflect", "edge")),
    sample("Pad", (4, 5), whole(1, 2, 3, 0), mode="wrap", opset=19),
    sample("Upsample", IMAGE, scales=[1.0, 1.0, 2.0, 3.0], opset=7),
    sample("Upsample", IMAGE, np.array([1, 1, 2, 2], np.float32), opset=9),
    sample("Resize", IMAGE, np.array([1, 1, 2, 0.5], np.float32), opset=10),
    *(sample("Resize", IMAGE, None, np.array([1, 1, 1.7, 0.6], np.float32), opset=opset,
             coordinate_transformation_mode=mode, nearest_mode=rounding)
      for opset in (13, 19) for mode in ("asymmetric", "half_pixel", "align_corners")
      for rounding in ("floor", "round_prefer_floor", "ceil")),
    sample("Resize", IMAGE, None, None, whole(1, 3, 9, 4)),
]  # fmt: skip

REDUCTIONS = [
    *(sample(op, (2, 3, 4), axes=axes, keepdims=keep, opset=11, low=0.2 if op in POSITIVE else -2.0)
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
                 "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
      for axes, keep in (([1], 1), ([0, -1], 0))),
    *(sample(op, (2, 3, 4), whole(1), opset=18)
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1")),
    sample("ReduceSum", (2, 3, 4), whole(2), keepdims=0, opset=13),
    sample("ReduceSum", (2, 3, 4), opset=13),
    sample("ReduceMean", (2, 3, 4), opset=7),
    sample("ReduceSum", (2, 3, 4), noop_with_empty_axes=1, opset=13),
]  # fmt: skip

SAMPLES = [*ELEMENTWISE, *ACTIVATIONS, *ARITHMETIC, *PRODUCTS, *CONVOLUTIONS, *POOLS, *SHAPES,
           *SELECTIONS, *REDUCTIONS]  # fmt: skip


def test_every_translation_has_a_sample_or_random_forms() -> None:
    assert TRANSLATIONS.keys() <= {sample.op for sample in SAMPLES} | GENERATORS.keys()


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_translation_computes_what_onnx_runtime_computes(sample, network, difference) -> None:
    names = ["" if operand is None else f"in{place}" for place, operand in
             enumerate(sample.operands)]  # fmt: skip
    pairs = dict(zip(names, sample.operands, strict=True))
    outputs = [f"out{place}" for place in range(sample.outputs)]
    data = network(
        [helper.make_node(sample.op, names, outputs, **sample.attributes)],
        {name: operand for name, operand in pairs.items() if isinstance(operand, tuple)},
        outputs,
        {name: operand for name, operand in pairs.items() if isinstance(operand, np.ndarray)},
        opset=sample.opset,
        ir_version=10,
    )
    assert difference(loads(data), low=sample.low) < 1e-5
