"""Weights of which only shapes are read, for plans of networks that may exceed every memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import onnx_ir as ir

# Smaller tensors are read if their file exists: they may be shapes or indices.
SMALL = 2**20
FLOATS = frozenset(
    (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
)


def forget_numbers(model: ir.Model) -> None:
    """Replace every large weight in a file beside the network's by a stand-in of its shape."""
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and tensor.dtype in FLOATS and _stays_out(tensor):
            array = stand_in(tuple(tensor.shape.numpy()), tensor.dtype == ir.DataType.DOUBLE)
            value.const_value = ir.Tensor(array, name=tensor.name)


def _stays_out(tensor: ir.ExternalTensor) -> bool:
    return tensor.nbytes >= SMALL or not _exists(tensor)


def _exists(tensor: ir.ExternalTensor) -> bool:
    try:
        return Path(tensor.path).exists()
    except (OSError, ValueError):
        return False


def stand_in(shape: tuple[int, ...], double: bool = False) -> np.ndarray:
    """Return an array of a shape in which all numbers are the same one in memory.

    It is a view of mapped memory, as weights beside the network are when they are read: so all
    rewrites of a graph treat both alike.
    """
    dtype = np.dtype(np.float64 if double else np.float32)
    memory = mmap.mmap(-1, dtype.itemsize)
    memory.write(np.asarray(0.7, dtype).tobytes())
    return np.broadcast_to(np.frombuffer(memory, dtype, 1).reshape((1,) * len(shape)), shape)


def stands_in(array: np.ndarray) -> bool:
    """Return True if all numbers of an array are the same one in memory."""
    return array.size > 1 and not any(array.strides)
