"""Lines of the nonlinear nodes, drawn from their bounds."""

from __future__ import annotations

from collections.abc import Mapping

from boundmesh.bounds.rows import Tile
from boundmesh.graph.graph import Node
from boundmesh.rules import RULES
from boundmesh.rules.operator import Interval, Lines


def boxes_of(node: Node, boxes: Mapping[str, Interval]) -> tuple[Interval, ...]:
    return tuple(boxes[name] for name in node.inputs)


class FixedLines:
    """CROWN's lines: one line per neuron for all rows, drawn once (arXiv 1811.00866)."""

    def __init__(self, boxes: Mapping[str, Interval]) -> None:
        self._boxes = boxes
        self._drawn: dict[str, Lines] = {}

    def __call__(self, node: Node, tile: Tile) -> Lines:
        if node.name not in self._drawn:
            inputs = boxes_of(node, self._boxes)
            operator = RULES[node.op]
            assert operator.relax is not None and operator.initial is not None
            alpha = operator.initial(node, inputs).unsqueeze(1)
            self._drawn[node.name] = operator.relax(node, inputs, alpha)
        return self._drawn[node.name]
