"""Accepts a model, a property, a region and rows in any form that a user may pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from boundmesh.errors import BoundmeshError, PropertyError, ReadError
from boundmesh.graph.graph import Graph
from boundmesh.property import Ball, Box, Property
from boundmesh.ranges import shown
from boundmesh.read import onnx, vnnlib
from boundmesh.read.integers import at_whole_numbers
from boundmesh.read.joined import with_products
from boundmesh.read.networks import graphs_of
from boundmesh.read.open_axes import UNKNOWN, KnownShapes, declared_in
from boundmesh.runtime.memory import refuse_beyond

if TYPE_CHECKING:
    from torch import nn

    Model = Graph | str | Path | nn.Module
    Models = Model | Mapping[str, Model] | Mapping[str | None, Model]


def read(model: Models, property: Property | str | Path) -> tuple[Graph, Property]:
    """Read the network and the property, and check that they have the same inputs and outputs.

    `model` may map the names of several networks that a VNN-LIB file declares to a model each. The
    graph of these is one graph. Raises BoundmeshError where one of them is something else, or they
    do not fit each other.
    """
    if not isinstance(property, Property | str | Path):
        swapped = isinstance(property, Graph | torch.nn.Module)
        raise PropertyError(
            f"the property is {shown(property)}; expected a VNN-LIB file or a boundmesh.Property"
            + (": give the network first, then the property" if swapped else "")
        )
    if not isinstance(property, Property):
        query = vnnlib.read(property)
        several = model.items() if isinstance(model, Mapping) else [(None, model)]
        given: dict[str | None, Model] = dict(several)
        spec = property

        def opened(network: Model) -> Graph:
            if not isinstance(network, str | Path):
                return load(network)
            return declared_in(spec).opened(lambda known: onnx.load(network, lengths=known))

        return vnnlib.join(query, graphs_of(query, given, opened))
    if isinstance(model, Mapping):
        raise BoundmeshError(
            f"{len(model)} networks are given for a boundmesh.Property, which is about one; "
            "a VNN-LIB file may declare several"
        )
    example = None
    if property.cases:
        region = property.cases[0].region
        example = region.lower if isinstance(region, Box) else region.center
    graph = with_products(load(model, example), property.products)
    sizes = graph[graph.input].size, graph[graph.output].size
    if (property.inputs, property.outputs) != sizes:
        raise BoundmeshError(
            f"the property has {property.inputs} inputs and {property.outputs} outputs; "
            f"the network has {sizes[0]} and {sizes[1]}"
        )
    return graph, at_whole_numbers(property, graph.inputs)


def load(model: Model, example: np.ndarray | None = None) -> Graph:
    """Make a Graph of an ONNX file (`.onnx`, `.onnx.gz`) or, with an example input, an nn.Module.

    Raises ReadError for anything else.
    """
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | Path):
        return onnx.load(model, lengths=shapes_of_example(example))
    if not isinstance(model, torch.nn.Module):
        swapped = isinstance(model, Property | Box | Ball)
        raise ReadError(
            f"the model is {shown(model)}; expected an ONNX file, a boundmesh.Graph or a "
            "torch.nn.Module" + (": give the network first" if swapped else "")
        )
    from boundmesh.read.torch_module import from_torch

    if example is None:
        raise ReadError(
            "an nn.Module needs an example input: boundmesh.from_torch(module, example)"
        )
    floating = (part.dtype for part in model.parameters() if part.is_floating_point())
    return from_torch(model, torch.as_tensor(example).to(next(floating, torch.float32)))


def shapes_of_example(example: np.ndarray | None) -> KnownShapes:
    """Return what an example input tells of the lengths that a network leaves open."""
    if example is None:
        return UNKNOWN
    shape = np.shape(example)
    return KnownShapes(by_order=[tuple(shape)], size=math.prod(shape))


def rows_of(rows: Any, outputs: int) -> np.ndarray:
    """Return linear functions of the outputs as a float64 array `[S, outputs]`.

    `rows` is one row or several, as an array, a tensor or lists. None stands for the outputs
    themselves, which is the identity matrix. Raises BoundmeshError for anything else.
    """
    if rows is None:
        refuse_beyond(
            f"rows for each of {outputs} outputs",
            16 * outputs**2,
            "ask for rows of your own, or a property",
        )
        return np.eye(outputs)
    expected = f"expected S rows of {outputs} numbers, one for each output"
    try:
        if isinstance(rows, torch.Tensor):
            rows = rows.detach().cpu().double()
        matrix = np.asarray(rows)
        if matrix.dtype.kind not in "fiub":
            raise TypeError(f"they hold {matrix.dtype}")
        matrix = matrix.astype(np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BoundmeshError(f"rows are no array of real numbers ({error}); {expected}") from None
    if matrix.ndim <= 1 and matrix.size == outputs:
        matrix = matrix.reshape(1, outputs)
    if matrix.ndim < 2 or matrix[:1].size != outputs:
        raise BoundmeshError(f"rows have the shape {list(matrix.shape)}; {expected}")
    if not np.isfinite(matrix).all():
        raise BoundmeshError(f"rows hold NaN or infinity; {expected}")
    return matrix.reshape(-1, outputs)


def region_of(region: Any, inputs: int) -> Box | Ball:
    """Return the region; raise BoundmeshError unless it is one with `inputs` inputs."""
    point = point_of(region)
    if point.size != inputs:
        raise BoundmeshError(f"the region has {point.size} inputs; the network has {inputs}")
    result: Box | Ball = region
    return result


def point_of(region: Any) -> np.ndarray:
    """Return a point of a region, in the region's own shape.

    Raises BoundmeshError where `region` is neither a Box nor a Ball.
    """
    if isinstance(region, Box):
        return region.lower
    if isinstance(region, Ball):
        return region.center
    raise BoundmeshError(
        f"the region is {shown(region)}; expected boundmesh.Box(lower, upper), "
        "Box.around(x, eps) or Ball(center, radius, p)"
    )
