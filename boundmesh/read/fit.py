"""Fits a query to its networks: makes the property, and one graph where there are several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Graph, Port, Subnetwork
from boundmesh.graph.whole import INTEGERS, range_of
from boundmesh.property import Property
from boundmesh.read.declarations import DeclaredNetwork
from boundmesh.read.formula import Formula
from boundmesh.read.influence import without_idle_inputs
from boundmesh.read.integers import at_whole_numbers
from boundmesh.read.joined import joined, with_products
from boundmesh.read.normal_form import NormalForm, normal_form
from boundmesh.read.products import simplified
from boundmesh.read.query import Query
from boundmesh.read.renaming import Renaming, equal_inputs
from boundmesh.read.shared_inputs import moved, one_for_equal
from boundmesh.read.tensor_places import Ports, laid_out, order
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
        parts = [
            Subnetwork(graphs[name], tuple(part_places.tolist())) for name, part_places in pairs
        ]
        graph = joined(parts, [name or "network" for name in names], fitted.inputs)
    graph = with_products(graph, fitted.property.products)
    prop = at_whole_numbers(fitted.property, graph.inputs)
    prop = without_idle_inputs(graph, prop)
    return with_twins(graph, prop), prop


def check_alike(query: Query, network: DeclaredNetwork, graphs: Mapping[str | None, Graph]) -> None:
    """Raise PropertyError where a network and the one it is related to have other ports."""
    graph, twin = graphs[network.name], graphs[network.other]
    outputs = tuple([p for p in g.outputs if p.name not in g.exposed] for g in (graph, twin))
    for ports, twin_ports in ((graph.inputs, twin.inputs), outputs):
        if [(p.shape, p.dtype) for p in ports] != [(p.shape, p.dtype) for p in twin_ports]:
            raise PropertyError(
                f"{query.path}: {network.name} is {network.relation} {network.other}, but their "
                f"shapes differ: {[list(p.shape) for p in ports]} and "
                f"{[list(p.shape) for p in twin_ports]}"
            )


def fit_all(query: Query, networks: Mapping[str | None, Ports], share: bool) -> Fitted:
    """Fit a query to the ports of its networks; with `share`, equal inputs become one."""
    try:
        with no_collection():
            return _fit_all(query, networks, share)
    except PropertyError as error:
        raise PropertyError(f"{query.path}: {error}") from None


def _fit_all(query: Query, networks: Mapping[str | None, Ports], share: bool) -> Fitted:
    whole = laid_out(query, networks)
    ports, shared = list(whole.ports), np.arange(whole.inputs)
    into, out = (order(group, whole.tensors) for group in (query.inputs, query.outputs))
    if share:
        ports, shared = one_for_equal(ports, into, equal_inputs(query.assertions))
    renaming = Renaming(shared[into], out, whole.outputs)
    form = _form(query, renaming, ports, bounded_by_type=share)
    cases, products = form.cases, tuple(map(renaming.product, query.products))
    if products:
        shorter = (simplified(case, products, whole.outputs) for case in cases)
        cases = tuple(case for case in shorter if case is not None)
    departures = tuple(f"{query.path.name}: {departure}" for departure in query.departures)
    made = Property(
        cases,
        sum(port.size for port in ports),
        whole.outputs + len(products),
        tuple(moved(variable, whole.tensors, shared) for variable in query.variables),
        (*departures, *form.warnings),
        products,
        form.unbounded,
    )
    inputs_of = {name: shared[span] for name, span in whole.networks.items()}
    return Fitted(made, tuple(ports), inputs_of)


def _form(
    query: Query, renaming: Renaming, ports: Sequence[Port], bounded_by_type: bool
) -> NormalForm:
    """Return the normal form of the assertions over the flat values of the networks."""
    assertions: Sequence[Formula] = query.assertions
    ranges = query.ranges
    if not renaming.is_identity or query.products:
        simple = [] if ranges is None else list(ranges.comparisons())
        assertions, ranges = renaming.formulas([*simple, *query.assertions]), None
    size = sum(port.size for port in ports)
    # For each flat input, the first declared element that it holds, for messages.
    declared = np.empty(size, dtype=np.int64)
    declared[renaming.into[::-1]] = np.arange(len(renaming.into))[::-1]
    largest = largest_of(ports) if bounded_by_type else None
    return normal_form(
        assertions, size, lambda place: query.name(int(declared[place])), largest, ranges
    )


def largest_of(ports: Sequence[Port]) -> np.ndarray:
    """Return the largest finite number of each flat input's type."""
    return np.concatenate([np.full(port.size, LARGEST[port.dtype]) for port in ports])
