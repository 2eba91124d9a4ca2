"""The order in which a tile, and the parts into which it is divided, pass the nodes of its way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from boundmesh.bounds.sweep.rows import Division
from boundmesh.operators.node import Node


def in_parts(order: Sequence[Node], divisions: Mapping[str, Division]) -> Iterator[Node]:
    """Yield nodes in the order in which parts of a tile pass them: one part after the other."""
    for place, node in enumerate(order):
        if node.name in divisions:
            for _ in range(divisions[node.name].parts):
                yield from in_parts(order[place:], without(divisions, node.name))
            return
        yield node


def without(divisions: Mapping[str, Division], name: str) -> dict[str, Division]:
    """Return the divisions in front of all other nodes."""
    return {each: division for each, division in divisions.items() if each != name}
