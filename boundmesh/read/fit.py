"""Fits a query to its networks: makes the property, and one graph where there are several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Graph, Part, Port
from boundmesh.graph.whole import INTEGERS, range_of
from boundmesh.property import Property, Variable
from boundmesh.read.declarations import Network
from boundmesh.read.formula import Formula
from boundmesh.read.influence import without_idle_inputs
from boundmesh.read.integers import at_whole_numbers
from boundmesh.read.joined import joined, with_products
from boundmesh.read.normal_form import normal_form
from boundmesh.read.products import simplified
from boundmesh.read.query import Query
from boundmesh.read.renaming import Renaming, equal_inputs, representatives
from boundmesh.read.twins import with_twins
from boundmesh.runtime.collection import no_collection

LARGEST = {
    "float16": 65504.0,
    "bfloat16": float(2.0**128 - 2.0**120),
    "float32": float(np.finfo(np.float32).max),
    "float64": float(np.finfo(np.float64).max),
} | {name: float(max(map(abs, range_of(name)))) for name in INTEGERS.values()}


@dataclass(frozen=True)
class Fitted:
    """The property of a query, and where its graph's flat input holds the networks' inputs.

    property  the property, over the graph's flat input and output
    inputs    the ports of the graph
    places    the place of each flat input of each network, by the network's name
    """

    property: Property
    inputs: tuple[Port, ...]
    places: Mapping[str | None, np.ndarray]


@dataclass(frozen=True)
class Ports:
    """The inputs and outputs of a network, and the names of outputs that are inner values."""

    inputs: Sequence[Port]
    outputs: Sequence[Port]
    exposed: Sequence[str] = ()


def fit(query: Query, inputs: Sequence[Port], outputs: Sequence[Port]) -> Property:
    """Make the property of a query for its only network, which has these ports.

    Raises PropertyError where the declarations do not fit the ports, an input has no bounds, or the
    normal form has too many conjunctions.
    """
    if len(query.networks) > 1:
        names = ", ".join(network.name for network in query.networks)
        raise PropertyError(f"{query.path}: it declares the networks {names}; give each of them")
    return fit_all(query, {query.network: Ports(inputs, outputs)}, share=False).property


def join(query: Query, graphs: Mapping[str | None, Graph]) -> tuple[Graph, Property]:
    """Make the property of a query for its networks, and the graph that it is about.

    `graphs` has a graph for each network of the query, by name; the only network of version 1.0 has
    the name None. Inputs that the query declares equal become one input of the graph. Raises the
    errors of `fit`.
    """
    ports = {
        name: Ports(graph.inputs, graph.outputs, graph.exposed) for name, graph in graphs.items()
    }
    for network in query.networks:
        if network.other:
            check_alike(query, network, graphs)
    fitted = fit_all(query, ports, share=True)
    names = list(graphs)
    (graph,) = graphs.values() if len(graphs) == 1 else (None,)
    places = [fitted.places[name] for name in names]
    if graph is None or not np.array_equal(places[0], np.arange(len(places[0]))):
        pairs = zip(names, places, strict=True)
        parts = [Part(graphs[name], tuple(own.tolist())) for name, own in pairs]
        graph = joined(parts, [name or "network" for name in names], fitted.inputs)
    graph = with_products(graph, fitted.property.products)
    prop = at_whole_numbers(fitted.property, graph.inputs)
    prop = without_idle_inputs(graph, prop)
    return with_twins(graph, prop), prop


def check_alike(query: Query, network: Network, graphs: Mapping[str | None, Graph]) -> None:
    """Raise PropertyError where a network and the one it is related to have other ports."""
    own, other = graphs[network.name], graphs[network.other]
    outputs = tuple([p for p in g.outputs if p.name not in g.exposed] for g in (own, other))
    for mine, theirs in ((own.inputs, other.inputs), outputs):
        if [(p.shape, p.dtype) for p in mine] != [(p.shape, p.dtype) for p in theirs]:
            raise PropertyError(
                f"{query.path}: {network.name} is {network.relation} {network.other}, but their "
                f"shapes differ: {[list(p.shape) for p in mine]} and "
                f"{[list(p.shape) for p in theirs]}"
            )


def fit_all(query: Query, networks: Mapping[str | None, Ports], share: bool) -> Fitted:
    """Fit a query to the ports of its networks; with `share`, equal inputs become one."""
    try:
        with no_collection():
            return _fit_all(query, networks, share)
    except PropertyError as error:
        raise PropertyError(f"{query.path}: {error}") from None


def _fit_all(query: Query, networks: Mapping[str | None, Ports], share: bool) -> Fitted:
    whole: dict[tuple[str | None, str], int] = {}
    first_in = first_out = 0
    starts: dict[str | None, int] = {}
    for name, own in networks.items():
        mine = [each for each in query.variables if each.network == name]
        inside = places([v for v in mine if v.role == "input"], own.inputs, query.version)
        rest = [v for v in mine if v.role != "input"]
        outside = places(rest, own.outputs, query.version, own.exposed)
        whole |= {(name, tensor): first_in + place for tensor, place in inside.items()}
        whole |= {(name, tensor): first_out + place for tensor, place in outside.items()}
        starts[name] = first_in
        first_in += sum(port.size for port in own.inputs)
        first_out += sum(port.size for port in own.outputs)
    ports = [
        replace(port, name=port.name if len(networks) == 1 else f"{name}/{port.name}")
        for name, own in networks.items()
        for port in own.inputs
    ]
    into, out = (order(group, whole) for group in (query.inputs, query.outputs))
    shared = np.arange(first_in)
    if share and (pairs := equal_inputs(query.assertions)):
        types = np.concatenate([np.full(port.size, port.dtype) for port in ports])
        wide = [(int(into[one]), int(into[other])) for one, other in pairs]
        same = representatives(first_in, [p for p in wide if types[p[0]] == types[p[1]]])
        kept, shared = np.unique(same, return_inverse=True)
        ports = shortened(ports, kept)
    renaming = Renaming(shared[into], out, first_out)
    assertions: Sequence[Formula] = query.assertions
    ranges = query.ranges
    if not renaming.is_identity or query.products:
        simple = [] if ranges is None else list(ranges.comparisons())
        assertions, ranges = renaming.formulas([*simple, *query.assertions]), None
    size = sum(port.size for port in ports)
    back = np.empty(size, dtype=np.int64)
    back[renaming.into[::-1]] = np.arange(len(into))[::-1]
    largest = largest_of(ports) if share else None
    form = normal_form(
        assertions, size, lambda place: query.name(int(back[place])), largest, ranges
    )
    cases = form.cases
    products = tuple(map(renaming.product, query.products))
    variables = tuple(moved(each, whole, shared) for each in query.variables)
    if products:
        shorter = (simplified(case, products, first_out) for case in cases)
        cases = tuple(case for case in shorter if case is not None)
    total = first_out + len(products)
    departures = tuple(f"{query.path.name}: {each}" for each in query.departures)
    made = Property(
        cases, size, total, variables, (*departures, *form.warnings), products, form.unbounded
    )
    spans = {
        name: shared[start : start + sum(port.size for port in networks[name].inputs)]
        for name, start in starts.items()
    }
    return Fitted(made, tuple(ports), spans)


def moved(
    variable: Variable, whole: Mapping[tuple[str | None, str], int], shared: np.ndarray
) -> Variable:
    """Return the variable with its place in the graph's flat input or output."""
    start = whole[variable.network, variable.name]
    if variable.role != "input":
        return replace(variable, offset=start)
    own = shared[start : start + variable.size]
    if variable.size and np.array_equal(own, np.arange(own[0], own[0] + variable.size)):
        return replace(variable, offset=int(own[0]))
    return replace(variable, offset=0, places=tuple(own.tolist()))


def shortened(ports: Sequence[Port], kept: np.ndarray) -> list[Port]:
    """Return the ports, flat, with those of their elements that are kept; empty ones drop out."""
    found, start = [], 0
    for port in ports:
        count = int(((kept >= start) & (kept < start + port.size)).sum())
        start += port.size
        if count:
            found.append(port if count == port.size else replace(port, shape=(count,)))
    return found


def largest_of(ports: Sequence[Port]) -> np.ndarray:
    """Return the largest finite number of each flat input's type."""
    return np.concatenate([np.full(port.size, LARGEST[port.dtype]) for port in ports])


def order(
    variables: Sequence[Variable], starts: Mapping[tuple[str | None, str], int]
) -> np.ndarray:
    """Return the place in the flat value of all networks of each element, in declared order."""
    return np.concatenate(
        [starts[each.network, each.name] + np.arange(each.size) for each in variables]
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
    matched = [(each, each.onnx_name) for each in variables if each.role == "hidden"]
    for hidden, name in matched:
        if name not in by_name:
            raise PropertyError(f"{hidden.name} is hidden, and the network has no value '{name}'")
    variables = [each for each in variables if each.role != "hidden"]
    ports = [port for port in ports if port.name not in exposed]
    if len(variables) != len(ports):
        role = variables[0].role
        raise PropertyError(
            f"it declares {len(variables)} {role} tensors, the network has {len(ports)}"
        )
    chosen: list[str | None] = [each.onnx_name for each in variables if each.onnx_name is not None]
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
    """Axes of length 1 do not move an element, so they may be left out of either shape."""
    declared, shape = ([n for n in each.shape if n != 1] for each in (variable, port))
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
