"""Translates the inputs and outputs of an ONNX network into those of a Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from boundmesh.errors import ReadError, UnsupportedError
from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.graph import Port
from boundmesh.graph.whole import INTEGERS, is_whole
from boundmesh.operators.node import Node
from boundmesh.read.nodes import name_of
from boundmesh.read.open_axes import KnownShapes, fixed
from boundmesh.read.translate.step import REAL, Value
from boundmesh.read.whole_values import enter_whole


def input_ports(graph: ir.Graph, known: KnownShapes) -> tuple[Port, ...]:
    """Return the inputs that are not weights; files older than IR version 4 list both.

    `known` gives shapes that the file leaves open.
    """
    free = [value for value in graph.inputs if value.name not in graph.initializers]
    if not free:
        raise ReadError("the network has no input that is not a weight")
    alone = len(free) == 1
    return tuple(input_port(value, place, alone, known) for place, value in enumerate(free))


def input_port(value: ir.Value, place: int, alone: bool, known: KnownShapes) -> Port:
    """Return network input `place` with the lengths of all its axes."""
    types = REAL | INTEGERS
    if value.dtype not in types:
        raise UnsupportedError(
            f"input '{value.name}' holds {value.dtype}; supported: {', '.join(types.values())}"
        )
    if value.shape is None:
        raise ReadError(f"input '{value.name}' has no shape; declare one in the file")
    lengths = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    shape = fixed(name_of(value), place, lengths, alone, known)
    return Port(name_of(value), shape, types[value.dtype])


def enter(build: Builder, inputs: tuple[Port, ...]) -> dict[str, Value]:
    """Add the input node: the only input, or several concatenated flat ones and their slices."""
    if len(inputs) == 1:
        alone = build.input(inputs[0].shape, inputs[0].name)
        enter_whole(build, alone, inputs[0].dtype)
        return {inputs[0].name: alone}
    flat = build.input((sum(port.size for port in inputs),))
    values: dict[str, Value] = {}
    start = 0
    for port in inputs:
        build.scope = port.name
        part = build.add("slice", flat, ranges=((start, start + port.size, 1),))
        value = build.rename(build.reshape(part, port.shape), port.name)
        enter_whole(build, value, port.dtype)
        values[port.name] = value
        start += port.size
    return values


def output_type(value: ir.Value, inputs: Sequence[Port]) -> str:
    """Return the type of an output; where the file leaves it out, that of a real input."""
    real = [port.dtype for port in inputs if not is_whole(port.dtype)]
    return (REAL | INTEGERS).get(value.dtype or 0, real[0] if real else "float32")


def leave(
    build: Builder, outputs: Sequence[ir.Value], values: Mapping[str, Value], inputs: Sequence[Port]
) -> tuple[Node, tuple[Port, ...]]:
    """Add the output node: the only output, or several concatenated flat; return the ports."""
    ports, nodes = [], []
    for value in outputs:
        name = name_of(value)
        if name not in values:
            raise ReadError(f"output '{name}' is made by no node")
        computed, build.scope = values[name], name
        node = build.constant(computed) if isinstance(computed, Constant) else computed
        if not node.size:
            raise ReadError(
                f"output '{name}' has the shape {list(node.shape)}, which holds nothing"
            )
        nodes.append(node)
        ports.append(Port(name, node.shape, output_type(value, inputs)))
    if len(nodes) == 1:
        return nodes[0], tuple(ports)
    build.scope = "output"
    flat = [build.reshape(node, (node.size,)) for node in nodes]
    return build.add("concat", *flat, axis=0), tuple(ports)
