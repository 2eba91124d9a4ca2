"""Computes the range of every value from the ranges of its inputs: interval bound propagation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from boundmesh.bounds.sweep.charge import Charge
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.node_weights import NodeWeights, visits
from boundmesh.bounds.sweep.outward import as_read, lost_to_underflow, of_input
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import Rounding


class Intervals:
    """Intervals `[l, u]`, `[D, *shape]` each, of a graph's values, computed node by node.

    The interval of a node contains its value at every input of the region, if the intervals of its
    inputs contain theirs (arXiv 1810.12715). A caller may replace an interval by a sharper one. An
    interval is dropped after its last reader, unless its name is in `keep`. If `rounding` is given,
    intervals are widened by it, and `errors` collects the rounding errors of rows.
    """

    def __init__(
        self,
        program: Program,
        layout: DeviceLayout,
        region: Region,
        keep: Iterable[str],
        rounding: Rounding | None = None,
    ) -> None:
        graph, box = program.graph, region.interval
        if rounding is not None:
            box = as_read(box, rounding)
        self._program, self._layout, self._rounding = program, layout, rounding
        self._known: dict[str, Interval] = {graph.input: box}
        self._like = box.lower[:0]
        self._keep = frozenset(keep)
        self._unread = {name: len(readers) for name, readers in graph.consumers.items()}
        self.errors: Errors | None = None
        if rounding is not None:
            self.errors = Errors(rounding, program.charged_at)
            self.errors.enter(graph.input, *of_input(program, box, rounding))

    @property
    def known(self) -> Mapping[str, Interval]:
        return self._known

    def advance(self, nodes: Iterable[Node]) -> None:
        """Propagate through `nodes`, the next ones in topological order."""
        for node_weights in self._layout.stream(visits(n for n in nodes if not n.is_input)):
            node = node_weights.node
            boxes = [self._known[name] for name in node.inputs]
            self._known[node.name] = self._interval(node_weights, boxes)
            for name in node.inputs:
                self._unread[name] -= 1
                if self._unread[name] == 0 and name not in self._keep:
                    del self._known[name]

    def _interval(self, node_weights: NodeWeights, boxes: Sequence[Interval]) -> Interval:
        if self.errors is None or self._rounding is None:
            return self._layout.interval(node_weights, boxes)
        node, program = node_weights.node, self._program
        charge = Charge.of(program, node, self._rounding, self._like)
        box, error = self._layout.outward(node_weights, boxes, charge)
        self.errors.enter(node.name, error, lost_to_underflow(boxes, charge))
        if node.name == program.target:
            self.errors.reach[node.name] = torch.maximum(box.lower.abs(), box.upper.abs())
        return box

    def sharpen(self, name: str, box: Interval) -> None:
        """Replace the interval of `name` by a sharper one."""
        self._known[name] = box
