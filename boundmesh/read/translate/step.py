"""One ONNX node on its way into a Graph, and the table of translations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from boundmesh.errors import UnsupportedError
from boundmesh.graph.build import Builder, Constant
from boundmesh.operators.node import Node

Value = Node | Constant

REAL = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
"""The ONNX element types (numbers of TensorProto.DataType) that hold real numbers."""


@dataclass(frozen=True)
class Step:
    """An ONNX node that is to be translated.

    op          the operator's type
    name        the node's name
    opset       the version of the operator set
    operands    the operands: a Node where it depends on the network's input, None where left out
    attributes  the attributes by name
    outputs     the names of all results in order, "" where nothing reads one
    build       the graph that is being built
    """

    op: str
    name: str
    opset: int
    operands: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    outputs: tuple[str, ...]
    build: Builder

    def operand(self, index: int) -> Value | None:
        return self.operands[index] if index < len(self.operands) else None

    def value(self, index: int) -> Value:
        """Return operand `index`, which must be there."""
        value = self.operand(index)
        if value is None:
            raise self.refuse(f"its operand {index} is missing")
        return value

    def node(self, index: int = 0) -> Node:
        """Return operand `index` as a node; a constant becomes a constant node."""
        value = self.value(index)
        return value if isinstance(value, Node) else self.build.constant(value)

    def constant(self, index: int, role: str) -> np.ndarray:
        """Return operand `index`, which must be constant; `role` names it in error messages."""
        self.value(index)
        array = self.optional(index, role)
        assert array is not None
        return array

    def optional(self, index: int, role: str) -> np.ndarray | None:
        """Return operand `index`, which must be constant, or None where it is left out.

        It must be written in the file: a computed one would lose how it was formed.
        """
        value = self.optional_constant(index, role)
        if value is not None and value.formed.depth:
            raise self.refuse(f"its {role} is computed from others; let the exporter fold it")
        return None if value is None else value.array

    def known(self, index: int, role: str) -> Constant:
        """Return operand `index`, which must be constant, with how it was formed."""
        self.value(index)
        value = self.optional_constant(index, role)
        assert value is not None
        return value

    def optional_constant(self, index: int, role: str) -> Constant | None:
        """Return operand `index`, which must be constant, as formed; None where it is left out."""
        value = self.operand(index)
        if isinstance(value, Node):
            raise self.refuse(f"its {role} depends on the network's input and must be constant")
        return value

    def limit(self, index: int, attribute: str) -> Constant | None:
        """Return a setting that older opsets give as an attribute, with how it was formed."""
        value = self.optional_constant(index, attribute)
        if value is None and attribute in self.attributes:
            return Constant("", np.asarray(self.attributes[attribute]))
        return value

    def real(self, name: str, default: float) -> float:
        """Return an attribute of ONNX type float, which also the default is rounded to."""
        return float(np.float32(self.attribute(name, default)))

    @property
    def single(self) -> bool:
        """True if only the first result is read."""
        return not any(self.outputs[1:])

    def option(self, index: int, attribute: str) -> np.ndarray | None:
        """Return a setting that older opsets give as an attribute and newer ones as an operand."""
        setting = self.optional(index, attribute)
        if setting is None and attribute in self.attributes:
            setting = np.asarray(self.attributes[attribute])
        return setting

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def refuse(self, why: str) -> UnsupportedError:
        return UnsupportedError(
            f"ONNX operator '{self.op}' (node '{self.name}') cannot be translated: {why}"
        )


Translation = Callable[[Step], Value | tuple[Value, ...]]

TRANSLATIONS: dict[str, Translation] = {}
"""The translation of each ONNX operator, by operator type (domain ai.onnx)."""


def translates(*ops: str) -> Callable[[Translation], Translation]:
    """Register a translation in `TRANSLATIONS` for each of `ops`."""

    def enter(translation: Translation) -> Translation:
        for op in ops:
            if op in TRANSLATIONS:
                raise ValueError(f"ONNX operator '{op}' is translated twice")
            TRANSLATIONS[op] = translation
        return translation

    return enter


def positive_axis(axis: int, rank: int) -> int:
    """Return the axis as counted from the front."""
    return int(axis) + rank if axis < 0 else int(axis)
