"""Loads the networks that a query declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Graph
from boundmesh.read import onnx
from boundmesh.read.open_axes import KnownShapes
from boundmesh.read.query import Query

Model = TypeVar("Model")
Load = Callable[[Model], Graph]


def graphs_of(
    query: Query, given: Mapping[str | None, Model], load: Load[Model]
) -> dict[str | None, Graph]:
    """Return the graph of each network of a query, by its name; equal networks share one graph.

    `given` has the networks by name. The key None stands for a network without a name, which
    suffices where the query needs one alone. The values that the query declares hidden become
    outputs of the graphs. Raises PropertyError for a network that is missing or not in the query,
    and for two files of networks that the query declares equal.
    """
    roots = same_as(query)
    chosen: dict[str | None, Model] = {}
    for name, model in given.items():
        if name is not None and query.networks and name not in roots:
            known = ", ".join(map(str, roots))
            raise PropertyError(
                f"{query.path} declares the network '{known}', --network names '{name}'; "
                f"give --network {known}=FILE"
            )
        root = roots.get(name, query.network)
        if root in chosen and not alike(chosen[root], model):
            raise PropertyError(
                f"{query.path}: {name} is equal to {root}, and two networks are given for them: "
                f"{chosen[root]} and {model}"
            )
        chosen.setdefault(root, model)
    missing = [str(root) for root in dict.fromkeys(roots.values()) if root not in chosen]
    if missing:
        needed = " ".join(f"--network {root}=FILE" for root in missing)
        raise PropertyError(
            f"{query.path} declares {len(query.networks)} networks; give {needed} as well"
        )
    graphs = {}
    for root, model in chosen.items():
        members = [name for name in roots if roots[name] == root]
        hidden = [
            str(variable.onnx_name)
            for variable in query.variables
            if variable.role == "hidden" and variable.network in members
        ]
        graphs[root] = exposing(load(model), list(dict.fromkeys(hidden)))
    return {name: graphs[root] for name, root in roots.items()}


def same_as(query: Query) -> dict[str | None, str | None]:
    """Return for each network of a query the first one that it is equal to, or itself."""
    roots: dict[str | None, str | None] = {}
    for network in query.networks:
        equal = network.relation == "equal-to"
        roots[network.name] = roots[network.other] if equal else network.name
    return roots or {None: None}


def alike(first: object, second: object) -> bool:
    """Return True if both are the same network: one object, or files of the same content."""
    if isinstance(first, str | Path) and isinstance(second, str | Path):
        try:
            return (
                Path(first).samefile(second)
                or Path(first).read_bytes() == Path(second).read_bytes()
            )
        except OSError:
            return False
    return first is second


def exposing(graph: Graph, names: Sequence[str]) -> Graph:
    """Return the graph with these inner values of its file as further outputs."""
    missing = [name for name in names if name not in {port.name for port in graph.outputs}]
    if not missing:
        return graph
    if graph.source is None:
        raise PropertyError(f"'{missing[0]}' is hidden, and only networks in ONNX files have names")
    lengths = KnownShapes(by_name={port.name: port.shape for port in graph.inputs})
    return onnx.load_exposed(graph.source, tuple(missing), lengths)
