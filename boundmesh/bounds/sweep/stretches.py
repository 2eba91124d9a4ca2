"""Chooses the stretches of a sweep's way that a GPU records, so that the host takes least time.

Tiles of windows are divided in front of some nodes. A stretch is the nodes between two divisions,
and all parts of a tile pass it one after the other. A recording holds what one part does: either in
one stretch, or from the beginning of a stretch to the input, with all parts of that part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import mul

from boundmesh.bounds.sweep.parts import in_parts, without
from boundmesh.bounds.sweep.rows import Division
from boundmesh.operators.node import Node

RECORDING = 1.5
"""How much longer than passing the nodes of a part it takes the host to record them."""
REPLAY = 0.5
"""A replay takes the host about as long as passing so many nodes."""


@dataclass(frozen=True)
class Stretch:
    """Nodes that parts of a tile pass, and that are recorded.

    first   the name of the first node
    last    False if the recording ends where the tile is divided next; True if it ends with bounds
    height  the number of rows of a part
    fresh   how many of the nodes are passed once before the recording, because something that all
            parts share, such as a relaxation, was not computed for the last of them yet
    """

    first: str
    last: bool
    height: int
    fresh: int


def stretches(
    order: Sequence[Node],
    divisions: Mapping[str, Division],
    height: int,
    times: int,
    known: Collection[str] = (),
) -> list[Stretch]:
    """Return what is recorded of the way of `times` tiles of `height` rows.

    `known` are the nodes for which all that parts share was computed.
    """
    chosen, ends = [], _ends(order, divisions)
    for begin, last in cheapest(order, divisions, times).items():
        node = order[begin]
        end = len(order) if last else next(place for place in ends if place > begin)
        fresh = [count for count, n in enumerate(order[begin:end], 1) if n.name not in known]
        rows = divisions[node.name].height if node.name in divisions else height
        chosen.append(Stretch(node.name, last, rows, max(fresh, default=0)))
    return chosen


def cheapest(
    order: Sequence[Node], divisions: Mapping[str, Division], times: int
) -> dict[int, bool]:
    """Return the places where recordings begin, and True for one that ends with bounds.

    `times` tiles pass the first stretch. All stretches before the last recording are recorded or
    not, each for itself.
    """
    ends = _ends(order, divisions)
    parts = [divisions[order[end].name].parts for end in ends[1:-1]]
    counts = list(accumulate([times, *parts], mul))
    best, least = dict[int, bool](), times * passes_from(order, divisions, 0)
    before, chosen = 0.0, dict[int, bool]()
    for (begin, end), count in zip(pairwise(ends), counts, strict=True):
        rest = passes_from(order, divisions, begin)
        for cost, more in (
            (count * rest, {}),
            (RECORDING * rest + REPLAY * count, {begin: True}),
        ):
            if before + cost < least:
                best, least = {**chosen, **more}, before + cost
        alone, recorded = count * (end - begin), RECORDING * (end - begin) + REPLAY * count
        if recorded < alone:
            chosen[begin] = False
        before += min(alone, recorded)
    return best


def passes_from(order: Sequence[Node], divisions: Mapping[str, Division], place: int) -> int:
    """Return how many nodes a part that was divided at `place` passes with its own parts."""
    rest = order[place:]
    return sum(1 for _ in in_parts(rest, without(divisions, rest[0].name))) if rest else 0


def _ends(order: Sequence[Node], divisions: Mapping[str, Division]) -> list[int]:
    """Return the places where stretches begin, and the length of the way."""
    return [
        0,
        *(index for index, node in enumerate(order) if index and node.name in divisions),
        len(order),
    ]
