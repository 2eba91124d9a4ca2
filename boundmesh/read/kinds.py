"""Tells which nodes hold whole numbers or truth values, as the types of an ONNX file do."""

from __future__ import annotations

from collections.abc import Sequence

from boundmesh.graph.build import Builder, Constant
from boundmesh.operators.node import Node
from boundmesh.read.translate import Step, Value
from boundmesh.read.translate.step import REAL

BOOL = 9
"""The ONNX element type of truth values."""

TRUTH = frozenset(
    ("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not",
     "Or", "Xor")
)  # fmt: skip
WHOLE = frozenset(
    ("ArgMax", "ArgMin", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul",
     "QuantizeLinear")
)  # fmt: skip
OF_OPERAND = {"Where": 1}
"""The operand that has the type of the results, where it is not the first."""


def enter_kinds(step: Step, values: Sequence[Value]) -> None:
    """Note in `Builder.kinds` what the results of a step hold: "b" for truth values, "i" for whole
    numbers; real numbers are not listed."""
    kind = _kind(step)
    for value in values:
        if kind is not None and isinstance(value, Node):
            step.build.kinds[value.name] = kind


def _kind(step: Step) -> str | None:
    if step.op in TRUTH:
        return "b"
    if step.op in WHOLE:
        return "i"
    if step.op == "Cast":
        to = step.attribute("to")
        return None if to in REAL else "b" if to == BOOL else "i"
    if step.op in ("CastLike", "DequantizeLinear"):
        return None
    return kind_of(step.build, step.operand(OF_OPERAND.get(step.op, 0)))


def kind_of(build: Builder, value: Value | None) -> str | None:
    """Return the kind of a value: "b", "i", or None for real numbers."""
    if isinstance(value, Constant):
        kind = value.array.dtype.kind
        return "i" if kind == "u" else kind if kind in "bi" else None
    return None if value is None else build.kinds.get(value.name)
