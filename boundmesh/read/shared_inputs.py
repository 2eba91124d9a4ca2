"""Makes one input of those that a query declares equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from boundmesh.graph.graph import Port
from boundmesh.property import Variable
from boundmesh.read.renaming import representatives


def one_for_equal(
    ports: Sequence[Port], into: np.ndarray, pairs: Sequence[tuple[int, int]]
) -> tuple[list[Port], np.ndarray]:
    """Make one input of each two that are equal and of one type.

    `into` has the flat input of each declared element, and `pairs` the declared elements that are
    equal. Returns the ports that are left, and for each flat input its place in them.
    """
    size = sum(port.size for port in ports)
    if not pairs:
        return list(ports), np.arange(size)
    types = np.concatenate([np.full(port.size, port.dtype) for port in ports])
    flat = [(int(into[one]), int(into[other])) for one, other in pairs]
    same = representatives(size, [pair for pair in flat if types[pair[0]] == types[pair[1]]])
    kept, shared = np.unique(same, return_inverse=True)
    return shortened(ports, kept), shared


def moved(
    variable: Variable, whole: Mapping[tuple[str | None, str], int], shared: np.ndarray
) -> Variable:
    """Return the variable with its place in the graph's flat input or output."""
    start = whole[variable.network, variable.name]
    if variable.role != "input":
        return replace(variable, offset=start)
    places = shared[start : start + variable.size]
    if variable.size and np.array_equal(places, np.arange(places[0], places[0] + variable.size)):
        return replace(variable, offset=int(places[0]))
    return replace(variable, offset=0, places=tuple(places.tolist()))


def shortened(ports: Sequence[Port], kept: np.ndarray) -> list[Port]:
    """Return the ports, flat, with those of their elements that are kept; empty ones drop out."""
    found, start = [], 0
    for port in ports:
        count = int(((kept >= start) & (kept < start + port.size)).sum())
        start += port.size
        if count:
            found.append(port if count == port.size else replace(port, shape=(count,)))
    return found
