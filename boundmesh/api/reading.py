"""Reads networks from ONNX files and PyTorch modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

import torch

from boundmesh.errors import ReadError
from boundmesh.graph.graph import Graph
from boundmesh.ranges import shown
from boundmesh.read import onnx, torch_module
from boundmesh.read.open_axes import check_names, declared_in


def load(
    path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    property: str | Path | None = None,
) -> Graph:
    """Read the network in an ONNX file (`.onnx` or `.onnx.gz`).

    Where the file leaves lengths of axes open, `shapes` gives the shapes of inputs by their names,
    or the declarations in the VNN-LIB file `property` give them.
    Raises ReadError for a file that holds no valid network or lacks an input that `shapes` names,
    and UnsupportedError for a network with an operator that cannot be translated.
    """
    graph = load_one(path, shapes=shapes, property=property)
    check_names(shapes or {}, (port.name for port in graph.inputs))
    return graph


def load_one(
    path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    property: str | Path | None = None,
) -> Graph:
    """Read one of several networks as `load` does; `shapes` may name inputs of the others."""
    if not isinstance(path, str | Path):
        raise ReadError(f"the path is {shown(path)}; expected the name of an ONNX file")
    if property is not None and not isinstance(property, str | Path):
        raise ReadError(f"the property is {shown(property)}; expected the name of a VNN-LIB file")
    known = shapes_by_name(shapes)
    declared = declared_in(property)
    return declared.opened(lambda given: onnx.load(path, lengths=given), known)


def shapes_by_name(shapes: object) -> dict[str, tuple[int, ...]]:
    """Return shapes of inputs by their names, as tuples; raise ReadError where they are none."""
    try:
        if shapes is not None and not isinstance(shapes, Mapping):
            raise TypeError("no mapping")
        return {name: tuple(map(index, shape)) for name, shape in (shapes or {}).items()}
    except (TypeError, ValueError) as error:
        raise ReadError(
            f"shapes are {shown(shapes)}; expected lists of whole numbers by input name ({error})"
        ) from None


def from_torch(module: torch.nn.Module, example: Any) -> Graph:
    """Translate a PyTorch module into a Graph.

    `example` is one input with its batch axis, as a tensor, an array or lists of numbers. A module
    with several inputs takes a tuple of tensors or arrays, one for each input. Raises
    UnsupportedError where the module cannot be translated, and ReadError where `module` is no
    module, `example` is no example, or one of them holds NaN.
    """
    return torch_module.from_torch(module, example)
