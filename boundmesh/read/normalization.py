"""Puts a normalisation `(x − mean) / std` in front of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.graph import Graph, Port
from boundmesh.rational import array_of
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import source_bytes


def normalized(graph: Graph, mean: Any = None, std: Any = None) -> Graph:
    """Return the network that computes `graph((x − mean) / std)`, in the input's type.

    `mean` and `std` are a number, or one for each channel (the second axis), or an array of the
    input's shape. The result has an ONNX source of its own, so that counterexamples are replayed
    with the normalisation. Raises BoundmeshError where they do not fit the input, or a `std` is
    not above zero.
    """
    if mean is None and std is None:
        return graph
    if graph.source is None or len(graph.inputs) != 1:
        raise BoundmeshError("mean and std need a network with one input and an ONNX source")
    (port,) = graph.inputs
    shift = _operand(0.0 if mean is None else mean, "mean", port)
    scale = _operand(1.0 if std is None else std, "std", port)
    if not (scale > 0).all():
        raise BoundmeshError(f"std is {std}; expected numbers above zero")
    return loads(_with_nodes_in_front(graph.source, port, shift, scale))


def _operand(value: Any, name: str, port: Port) -> np.ndarray:
    """Return mean or std in the input's type, in a shape that broadcasts to the input's."""
    array = array_of(value, name).astype(port.dtype)
    if not np.isfinite(array).all():
        raise BoundmeshError(f"{name} holds NaN or infinity, or a number beyond {port.dtype}")
    channels = port.shape[1] if len(port.shape) > 1 else port.size
    if array.size == 1:
        return array.reshape([1] * len(port.shape))
    if array.shape == (channels,):
        behind = [1] * (len(port.shape) - 2)
        return array.reshape([1, channels, *behind] if len(port.shape) > 1 else [channels])
    if array.size == port.size and math.prod(array.shape[-1:]) == port.shape[-1]:
        return array.reshape(port.shape)
    raise BoundmeshError(
        f"{name} has the shape {list(array.shape)}; expected one number, or {channels}, one for "
        f"each channel of the input {list(port.shape)}"
    )


def _with_nodes_in_front(
    source: Path | bytes, port: Port, mean: np.ndarray, std: np.ndarray
) -> bytes:
    import onnx

    model = onnx.load_model_from_string(source_bytes(source))
    if isinstance(source, Path):
        try:
            onnx.load_external_data_for_model(model, str(source.resolve().parent))
        except (OSError, ValueError) as error:
            raise ReadError(f"{source}: cannot read the network's weights: {error}") from None
    graph = model.graph
    taken = {name for node in _nodes(graph) for name in (*node.input, *node.output)}
    taken |= {weight.name for weight in graph.initializer}
    names = [_free(f"{port.name}:{part}", taken) for part in ("mean", "std", "shifted", "scaled")]
    for node in _nodes(graph):
        for place, name in enumerate(node.input):
            if name == port.name:
                node.input[place] = names[3]
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name)
        for array, name in zip((mean, std), names[:2], strict=True)
    )
    front = [
        onnx.helper.make_node("Sub", [port.name, names[0]], [names[2]], name=names[2]),
        onnx.helper.make_node("Div", [names[2], names[1]], [names[3]], name=names[3]),
    ]
    for place, node in enumerate(front):
        graph.node.insert(place, node)
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:
        raise BoundmeshError(
            f"mean and std cannot be put in front of so large a network ({error}); put the "
            "normalisation into the network itself"
        ) from None


def _nodes(graph: Any) -> Iterable[Any]:
    """Yield the nodes of an ONNX graph and of the graphs inside of them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
