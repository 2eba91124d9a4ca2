"""Lists the ONNX operators and versions that can be read, for `boundmesh supports`."""

from __future__ import annotations

from onnx.defs import onnx_opset_version

from boundmesh.read.onnx import OLDEST_OPSET
from boundmesh.read.translate import TRANSLATIONS

# Operators whose result never depends on the values of the network's input.
ALWAYS_CONSTANT = ("Constant", "ConstantOfShape", "Range", "Shape", "Size")


def onnx_operators() -> tuple[str, ...]:
    """Return the ONNX operator types, sorted; any other operator may act on constants alone."""
    return tuple(sorted({*TRANSLATIONS, *ALWAYS_CONSTANT}))


def onnx_opsets() -> tuple[int, int]:
    """Return the oldest and the newest opset version of a readable file."""
    return OLDEST_OPSET, onnx_opset_version()
