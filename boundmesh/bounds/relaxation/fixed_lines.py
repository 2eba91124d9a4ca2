"""Lines that are computed once and used for all tiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.drawn import Drawn
from boundmesh.bounds.relaxation.lines import (
    boxes_of,
    crown_lines,
    in_one_pass,
    pieces_of,
    shared_lines,
    sparse_lines,
)
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels import fused_windows
from boundmesh.kernels.once import Tables, forbid_in_recording
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Relaxation
from boundmesh.operators.node import Node

Localise = Callable[[Mapping[str, Interval]], Mapping[str, Interval]]
"""A function that selects the bounds of this rank's neurons."""


class FixedLines:
    """CROWN's relaxation of every node, computed once for all tiles.

    It is computed when a sweep first passes the node, because the bounds of the node's inputs are
    final then. Rows in windows take `Pieces` only where there are kernels for them. `localise`
    selects this rank's part of the bounds.

    tables  tables of weights that all sweeps with these lines share
    passed  the nodes that some sweep with these lines has passed, by name, and True if its rows lay
            in windows there; all that such sweeps share is computed for these nodes
    """

    def __init__(
        self, boxes: Mapping[str, Interval], localise: Localise = lambda boxes: boxes
    ) -> None:
        self._boxes, self._localise = boxes, localise
        self._drawn: dict[tuple[str, bool], Drawn | Pieces] = {}
        self.tables: Tables = {}
        self.passed: set[tuple[str, bool]] = set()

    def known(self, forms: Collection[tuple[str, bool]]) -> set[str]:
        """Return the nodes, by name, that some sweep has passed in the same form."""
        return {name for name, _ in self.passed.intersection(forms)}

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        key = node.name, tile.windowed
        if key not in self._drawn:
            local_boxes = self._localise({name: self._boxes[name] for name in node.inputs})
            boxes = boxes_of(node, local_boxes)
            first = boxes[0].lower
            forbid_in_recording()
            if in_one_pass(node, first) and (
                not tile.windowed or fused_windows.applies_without_gradients(first)
            ):
                self._drawn[key] = pieces_of(node, boxes[0])
            elif tile.windowed:
                self._drawn[key] = Drawn(crown_lines(node, boxes), sparse=sparse_lines(node, boxes))
            else:
                self._drawn[key] = Drawn(crown_lines(node, boxes))
        return self._drawn[key]


class SharedLines:
    """The lines of every node that all rows share, computed once.

    Bounds only get sharper, so a stable neuron stays stable and keeps its line. The lines of the
    flat neurons `index[node]` are zero.
    """

    def __init__(self, boxes: Mapping[str, Interval], index: Mapping[str, Tensor]) -> None:
        self._boxes, self._index = boxes, index
        self._drawn: dict[str, Relaxation] = {}

    def __call__(self, node: Node) -> Relaxation:
        if node.name not in self._drawn:
            inputs = tuple(
                Interval(box.lower.detach(), box.upper.detach())
                for box in boxes_of(node, self._boxes)
            )
            with torch.no_grad():
                nothing = torch.empty(0, dtype=torch.long, device=inputs[0].lower.device)
                index = self._index.get(node.name, nothing)
                self._drawn[node.name] = shared_lines(node, inputs, index)
        return self._drawn[node.name]
