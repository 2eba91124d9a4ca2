"""Lists nodes in the order in which a tile, and the parts of a divided tile, pass them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from boundmesh.bounds.sweep.rows import Division
from boundmesh.operators.node import Node


def in_parts(order: Sequence[Node], divisions: Mapping[str, Division]) -> Iterator[Node]:
    """Yield nodes in the order in which parts of a tile pass them: one part after the other."""
    for index, node in enumerate(order):
        if node.name in divisions:
            for _ in range(divisions[node.name].parts):
                yield from in_parts(order[index:], without(divisions, node.name))
            return
        yield node


def without(divisions: Mapping[str, Division], name: str) -> dict[str, Division]:
    """Return the divisions in front of all other nodes."""
    return {node: division for node, division in divisions.items() if node != name}
