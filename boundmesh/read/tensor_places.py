"""Finds where the tensors that a query declares lie in the inputs and outputs of its networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Port
from boundmesh.property import Variable
from boundmesh.read.query import Query


@dataclass(frozen=True)
class Ports:
    """The inputs and outputs of a network, and the names of outputs that are inner values."""

    inputs: Sequence[Port]
    outputs: Sequence[Port]
    exposed: Sequence[str] = ()


@dataclass(frozen=True)
class Whole:
    """Where everything lies in the flat input and the flat output of all networks together.

    tensors   the place of the first element of each tensor, by its network and its name
    networks  the places of the inputs of each network
    ports     the inputs of all networks; with several networks, `network/input` is the name of each
    inputs    the number of flat inputs
    outputs   the number of flat outputs
    """

    tensors: Mapping[tuple[str | None, str], int]
    networks: Mapping[str | None, slice]
    ports: tuple[Port, ...]
    inputs: int
    outputs: int


def laid_out(query: Query, networks: Mapping[str | None, Ports]) -> Whole:
    """Lay the inputs and the outputs of all networks one after the other.

    Raises PropertyError where the declarations of a network do not fit its ports.
    """
    tensors: dict[tuple[str | None, str], int] = {}
    spans: dict[str | None, slice] = {}
    ports: list[Port] = []
    inputs = outputs = 0
    for name, network_ports in networks.items():
        variables = [variable for variable in query.variables if variable.network == name]
        inside = places(
            [v for v in variables if v.role == "input"], network_ports.inputs, query.version
        )
        rest = [v for v in variables if v.role != "input"]
        outside = places(rest, network_ports.outputs, query.version, network_ports.exposed)
        tensors |= {(name, tensor): inputs + place for tensor, place in inside.items()}
        tensors |= {(name, tensor): outputs + place for tensor, place in outside.items()}
        prefix = "" if len(networks) == 1 else f"{name}/"
        ports += [replace(port, name=prefix + port.name) for port in network_ports.inputs]
        start, inputs = inputs, inputs + sum(port.size for port in network_ports.inputs)
        spans[name] = slice(start, inputs)
        outputs += sum(port.size for port in network_ports.outputs)
    return Whole(tensors, spans, tuple(ports), inputs, outputs)


def order(
    variables: Sequence[Variable], starts: Mapping[tuple[str | None, str], int]
) -> np.ndarray:
    """Return the place in the flat value of all networks of each element, in declared order."""
    return np.concatenate(
        [
            starts[variable.network, variable.name] + np.arange(variable.size)
            for variable in variables
        ]
    )


def places(
    variables: Sequence[Variable],
    ports: Sequence[Port],
    version: str,
    exposed: Sequence[str] = (),
) -> dict[str, int]:
    """Return where each declared tensor starts in the flat value of the ports.

    Tensors and ports are matched by ONNX names where all are given, else by order (VNN-LIB 2.0,
    "Multiple input and output declarations"). Hidden values are matched by ONNX names, and the
    ports named in `exposed` are inner values.
    """
    role = variables[0].role
    if version == "1":
        size, declared = sum(port.size for port in ports), variables[0].size
        if size != declared:
            raise PropertyError(
                f"it declares {declared} {role}s ({variables[0].name}_0 …), the network has {size}"
            )
        return {variables[0].name: 0}
    by_name = {port.name: port for port in ports}
    ends = np.cumsum([port.size for port in ports]).tolist()
    starts = {port.name: end - port.size for port, end in zip(ports, ends, strict=True)}
    matched = [
        (variable, variable.onnx_name) for variable in variables if variable.role == "hidden"
    ]
    for hidden, name in matched:
        if name not in by_name:
            raise PropertyError(f"{hidden.name} is hidden, and the network has no value '{name}'")
    variables = [variable for variable in variables if variable.role != "hidden"]
    ports = [port for port in ports if port.name not in exposed]
    if len(variables) != len(ports):
        role = variables[0].role
        raise PropertyError(
            f"it declares {len(variables)} {role} tensors, the network has {len(ports)}"
        )
    chosen: list[str | None] = [
        variable.onnx_name for variable in variables if variable.onnx_name is not None
    ]
    names = [port.name for port in ports]
    if len(chosen) < len(variables):
        chosen = [*names]
    if sorted(map(str, chosen)) != sorted(names):
        raise PropertyError(f"it names the {role}s {chosen}, the network {names}")
    matched += zip(variables, chosen, strict=True)
    for variable, name in matched:
        check(variable, by_name[str(name)])
    return {variable.name: starts[str(name)] for variable, name in matched}


def check(variable: Variable, port: Port) -> None:
    """Raise PropertyError where a declared tensor has another shape or type than its port.

    Axes of length 1 do not move an element, so they may be left out of either shape.
    """
    declared, shape = ([n for n in declaration.shape if n != 1] for declaration in (variable, port))
    if declared != shape:
        raise PropertyError(
            f"{variable.role} {variable.name} is declared {list(variable.shape)}, "
            f"the network's '{port.name}' is {list(port.shape)}"
        )
    if variable.element_type not in ("", "Real", port.dtype):
        raise PropertyError(
            f"{variable.role} {variable.name} is declared {variable.element_type}, "
            f"the network's '{port.name}' is {port.dtype}; declare that, or Real"
        )
