"""IBP, CROWN-IBP and CROWN in plain arithmetic, with gradients to weights and to the box.

The rules are those of the operators. All products are autograd's own, because its gradients reach
the weights; no kernel and no in-place operation is used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import sharper
from boundmesh.bounds.relaxation.lines import boxes_of, crown_lines
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import both_sides, ends
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Relaxation
from boundmesh.operators.node import Node

Weights = Mapping[str, Tensor]


class Propagation:
    """Bounds of the values of one graph on D boxes `[D, *input_shape]`.

    intervals  the interval of each value that was reached
    bounds     the bounds of each start node: intervals, or those of CROWN
    """

    def __init__(self, program: Program, weights: Weights, region: BoxRegion) -> None:
        self.program, self._weights, self._region = program, weights, region
        self.intervals: dict[str, Interval] = {program.graph.input: region.interval}
        self.bounds: dict[str, Interval] = {}
        self._lines: dict[str, Relaxation] = {}

    def propagate(self, *, by_rows: bool) -> None:
        """Compute the interval of every value; with `by_rows` start nodes get CROWN's bounds."""
        for node in self.program.nodes:
            if not node.is_input:
                boxes = boxes_of(node, self.intervals)
                own = self._own(node)
                self.intervals[node.name] = _recorded(RULES[node.op].interval(node, own, *boxes))
            if node.name in self.program.starts:
                if by_rows and node.name not in self.program.exact:
                    self.intervals[node.name] = self._by_rows(node)
                self.bounds[node.name] = self.intervals[node.name]

    def lowest(self, start: str, rows: Tensor) -> Tensor:
        """Compute CROWN's lower bounds `[D, S]` of rows `[D or 1, S, *shape]` of a node."""
        at, bias = {start: rows}, None
        for node in self.program.order(start):
            if node.is_input or node.name not in at:
                continue
            here = at.pop(node.name)
            rule = RULES[node.op].pull
            pulled = (
                self._line(node).pull(here) if rule is None else rule(node, self._own(node), here)
            )
            bias = pulled.onto(bias).bias
            for name, coefficients in zip(node.inputs, pulled.coefficients, strict=True):
                at[name] = at[name] + coefficients if name in at else coefficients
        at_input = at.get(self.program.graph.input)
        lowest = bias if at_input is None else self._region.minimum(at_input, bias)
        if lowest is None:
            lowest = rows.new_zeros(1, rows.shape[1])
        return lowest.expand(self._region.domains, -1)

    def _own(self, node: Node) -> tuple[Tensor, ...]:
        return tuple(self._weights[name] for name in node.weights)

    def _line(self, node: Node) -> Relaxation:
        if node.name not in self._lines:
            self._lines[node.name] = crown_lines(node, boxes_of(node, self.bounds))
        return self._lines[node.name]

    def _by_rows(self, node: Node) -> Interval:
        """Bound the unstable neurons of a start node by rows, and keep the interval of others."""
        box = self.intervals[node.name]
        unstable = self.program.unstable(node.name, {**self.bounds, node.name: box})
        index = unstable.any(0).nonzero().squeeze(1)
        if not len(index):
            return box
        rows = both_sides(index, box.lower.dtype).dense(node)
        lower, upper = ends(self.lowest(node.name, rows.requires_grad_(torch.is_grad_enabled())))
        mine = unstable.index_select(1, index)

        def replaced(interval: Tensor, bound: Tensor) -> Tensor:
            flat = interval.flatten(1)
            kept = torch.where(mine, bound, flat.index_select(1, index))
            return flat.index_copy(1, index, kept).reshape(interval.shape)

        box_by_rows = Interval(replaced(box.lower, lower), replaced(box.upper, upper))
        # Rows alone can leave the domain of a logarithm or a root.
        return sharper(box, box_by_rows) if self.program.has_curves else box_by_rows


def _recorded(box: Interval) -> Interval:
    """Return an interval that needs gradients if any are recorded.

    Rules may use kernels where an operand needs none, although a weight does.
    """
    if not torch.is_grad_enabled():
        return box
    ends = (end if end.requires_grad else end.detach().requires_grad_() for end in _ends(box))
    return Interval(*ends)


def _ends(box: Interval) -> tuple[Tensor, Tensor]:
    return box.lower, box.upper
