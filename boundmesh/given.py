"""What a user gives: a model and a property, in whatever form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.graph import Graph
from boundmesh.property import Box, Property
from boundmesh.read import onnx, vnnlib

if TYPE_CHECKING:
    from torch import nn

    Model = Graph | str | Path | nn.Module


def read(model: Model, property: Property | str | Path) -> tuple[Graph, Property]:
    """The network and the property, whatever form they come in; they must fit each other."""
    example = None
    if isinstance(property, Property) and property.cases:
        region = property.cases[0].region
        example = region.lower if isinstance(region, Box) else region.center
    graph = load(model, example)
    if not isinstance(property, Property):
        property = vnnlib.load(property, graph.inputs, graph.outputs)
    sizes = sum(p.size for p in graph.inputs), sum(p.size for p in graph.outputs)
    if (property.inputs, property.outputs) != sizes:
        raise BoundmeshError(
            f"the property speaks of {property.inputs} inputs and {property.outputs} outputs; "
            f"the network has {sizes[0]} and {sizes[1]}"
        )
    return graph, property


def load(model: Model, example: np.ndarray | None = None) -> Graph:
    """A Graph from an ONNX file (`.onnx`, `.onnx.gz`) or, with an example input, an nn.Module."""
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | Path):
        return onnx.load(model)
    from boundmesh.read.torch_module import from_torch

    if example is None:
        raise ReadError(
            "an nn.Module needs an example input: boundmesh.from_torch(module, example)"
        )
    return from_torch(model, torch.as_tensor(example, dtype=torch.float32))
