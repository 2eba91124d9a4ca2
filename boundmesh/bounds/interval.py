"""Interval bound propagation (IBP): every value's range from the ranges of what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from boundmesh.bounds.layout import Layout
from boundmesh.bounds.region import Region
from boundmesh.bounds.served import visits
from boundmesh.graph.graph import Graph, Node
from boundmesh.rules.operator import Interval


class Intervals:
    """Intervals of a graph's values, advanced node by node; a sharper one may be put in.

    `[l, u]` of a node contains its value at every input of the region, given that what its
    inputs' intervals say is true (arXiv 1810.12715). Values that nothing still to come reads are
    dropped.
    """

    def __init__(self, graph: Graph, layout: Layout, region: Region, keep: Iterable[str]) -> None:
        self._layout = layout
        self._known: dict[str, Interval] = {graph.input: region.interval}
        self._keep = frozenset(keep)
        self._unread = {name: len(readers) for name, readers in graph.consumers.items()}

    @property
    def known(self) -> Mapping[str, Interval]:
        return self._known

    def advance(self, nodes: Iterable[Node]) -> None:
        """Propagate through `nodes`, which must follow in topological order."""
        for served in self._layout.stream(visits(n for n in nodes if n.op != "input")):
            node = served.node
            boxes = [self._known[name] for name in node.inputs]
            self._known[node.name] = self._layout.interval(served, boxes)
            for name in node.inputs:
                self._unread[name] -= 1
                if self._unread[name] == 0 and name not in self._keep:
                    del self._known[name]

    def sharpen(self, name: str, box: Interval) -> None:
        """Replace the interval of `name` by a better one."""
        self._known[name] = box
