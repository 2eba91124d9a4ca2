"""Reads a property for a command, with the checks that only the command line can make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.read import vnnlib
from boundmesh.read.networks import graphs_of
from boundmesh.read.open_axes import check_names


def read_query(
    spec: Path,
    networks: Mapping[str | None, Path],
    load: Callable[[Path], Graph],
    shapes: Collection[str] = (),
    strict: bool = False,
) -> tuple[Graph, Property]:
    """Read a property and its networks, which are given by name, as one graph.

    `shapes` are the inputs whose shapes the user gave; each must be an input of some network. With
    `strict` a property of version 2.0 must keep to the standard.

    Raises the errors of `graphs_of`, `check_names` and `join`.
    """
    query = vnnlib.read(spec, strict)
    graphs = graphs_of(query, networks, load)
    check_names(shapes, (port.name for graph in graphs.values() for port in graph.inputs))
    return vnnlib.join(query, graphs)


def read_property(spec: Path, graph: Graph, name: str | None) -> Property:
    """Read the property in `spec`; PropertyError where `--network` gives another name."""
    query = vnnlib.read(spec)
    if name is not None and query.network not in (None, name):
        raise PropertyError(
            f"{spec} declares the network '{query.network}', --network names '{name}'; "
            f"give --network {query.network}=FILE"
        )
    return vnnlib.fit(query, graph.inputs, graph.outputs)
