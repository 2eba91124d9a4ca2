"""CROWN's lines of operators whose inputs are related, with the gain of what relates them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.drawn import Drawn
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.relaxation.lines import boxes_of
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators import RULES
from boundmesh.operators.affine_forms import AffineForms
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled, Relaxation
from boundmesh.operators.node import Node


@dataclass(frozen=True)
class JointLines:
    """A relaxation whose rows gain from the relation between the inputs of the operator.

    lines  CROWN's lines
    node   the node
    boxes  the bounds of its inputs that the lines were made from
    forms  its inputs as affine forms
    """

    lines: Relaxation
    node: Node
    boxes: tuple[Interval, ...]
    forms: tuple[AffineForms, ...]

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows `[D, S, *shape]` back through the lines, and raise their biases."""
        pulled, rule = self.lines.pull(rows), RULES[self.node.op].joint_gain
        assert rule is not None
        which = (rows != 0).flatten(2).any(2).any(0).nonzero().flatten()
        if not len(which):
            return pulled
        gain = rule(self.node, self.boxes, rows[:, which], self.forms)
        bias = gain.new_zeros(()) if pulled.bias is None else pulled.bias.double()
        bias = bias.expand(max(len(gain), len(rows)), rows.shape[1])
        # The sum is rounded to the rows' type once, so that much of it is left off.
        size = 4 * torch.finfo(rows.dtype).eps * (bias[:, which].abs() + gain)
        raised = bias.index_add(1, which, (gain - size).clamp(min=0)).to(rows.dtype)
        return Pulled(pulled.coefficients, raised)


class FixedJointLines:
    """CROWN's relaxation of every node, tighter where an operator's inputs are related.

    draw   CROWN's relaxations
    boxes  the bounds of the start nodes that they are made from
    forms  affine forms of the start nodes that are known, by name
    """

    def __init__(
        self,
        draw: FixedLines,
        boxes: Mapping[str, Interval],
        forms: Mapping[str, AffineForms],
    ) -> None:
        self._draw, self._boxes, self._forms = draw, boxes, forms

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        drawn = self._draw(node, tile)
        if RULES[node.op].joint_gain is None or not all(n in self._forms for n in node.inputs):
            return drawn
        assert isinstance(drawn, Drawn) and drawn.shared is not None
        forms = tuple(self._forms[name] for name in node.inputs)
        return Drawn(JointLines(drawn.shared, node, boxes_of(node, self._boxes), forms))
