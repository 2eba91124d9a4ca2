"""Lists ONNX operators whose rounding is known, so that a network is verified as it runs.

A network runs an ONNX operator in one kernel, and the graph holds it as one operator or several.
The graph's roundings cover the kernel's where it does the same basic operations, sums in any order
included, and calls a library function once where the graph has one. Left out are operators that
runtimes compute by another formula (a variance as E[x²] − E[x]², a softmax of x − max(x)).
"""

from __future__ import annotations

import onnx_ir as ir

from boundmesh.graph.whole import MOST
from boundmesh.operators.node import Node
from boundmesh.read.translate.step import Step

KNOWN = frozenset(
    (
        *("Abs", "Add", "And", "ArgMax", "ArgMin", "Asinh", "Atan", "AveragePool"),
        *("BatchNormalization", "Ceil", "Clip", "Concat", "Conv", "ConvTranspose", "Cos"),
        *("CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "Einsum", "Equal"),
        *("Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND"),
        *("Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual"),
        *("HardSigmoid", "Identity", "LeakyRelu", "Less", "LessOrEqual"),
        *("Log", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mul", "Neg", "Not", "Or", "PRelu"),
        *("Pad", "Pow", "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceMax", "ReduceMean"),
        *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape"),
        *("Resize", "Round", "Scatter", "ScatterElements", "ScatterND", "Sigmoid", "Sign"),
        *("Sin", "Slice", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan"),
        *("Tanh", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where"),
        *("Xor"),
    )
)
SHORT = frozenset((ir.DataType.FLOAT16, ir.DataType.BFLOAT16))
"""Types that do not hold all whole numbers up to 2²⁴."""
EXACT = frozenset((ir.DataType.FLOAT, ir.DataType.DOUBLE))
"""Types to which a network's float32 numbers can be cast without rounding."""


def rounding_known(step: Step) -> bool:
    """Return True if the graph's roundings cover those of the operator as a network runs it."""
    if step.op == "Cast":
        first = step.operand(0)
        name = first.name if isinstance(first, Node) else ""
        if name in step.build.kinds and step.build.reach.get(name, 1.0) <= MOST:
            # Whole numbers stay as they are, unless a short float type rounds them.
            return step.attribute("to") not in SHORT
        return step.attribute("to") in EXACT
    if step.op in ("Resize", "Upsample"):
        # Runtimes compute the weights of an interpolation in float32.
        return bool(step.attribute("mode", "nearest") == "nearest")
    return step.op in KNOWN
