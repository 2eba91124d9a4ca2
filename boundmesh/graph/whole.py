"""The element types of whole numbers that inputs can have, and their ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from boundmesh.graph.graph import Port

INTEGERS = {
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    12: "uint32",
    13: "uint64",
}
"""The ONNX element types (numbers of TensorProto.DataType) that hold whole numbers."""

MOST = 2**24
"""The largest magnitude of bounds of whole inputs: float32 holds every whole number up to it."""


def is_whole(dtype: str) -> bool:
    """Return True for the numpy name of a type of whole numbers or truth values."""
    return dtype in INTEGERS.values()


def range_of(dtype: str) -> tuple[int, int]:
    """Return the least and the largest number of a type of whole numbers or truth values."""
    if dtype == "bool":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def whole_places(ports: Sequence[Port]) -> np.ndarray:
    """Return the mask `[inputs]` of the flat inputs that hold whole numbers."""
    return np.concatenate([np.full(port.size, is_whole(port.dtype)) for port in ports])
