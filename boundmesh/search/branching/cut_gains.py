"""Chooses where values could be cut, and estimates what each cut would gain (arXiv 2405.21063).

Let A be the coefficient of an operator's output, and let a row use the line t on the range of the
value that may be cut. In a half of the range the operator has a line t' that is at least as tight.
At the middle of that half the row's bound rises by `g = A·(t' − t)`. A cut whose halves gain g₁ and
g₂ scores `min(g₁, g₂) + (g₁ + g₂)/2`. For a ReLU that is split at zero and has A < 0, this is the
score of BaBSR, so splits and cuts compete on equal terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Relaxation
from boundmesh.operators.node import Node
from boundmesh.search.domain import Domains

SHARES = (0.5, 0.25, 0.75)
"""Cuts are tried at these shares of each range, and where an operator jumps or bends."""
NARROWEST = 64
"""A range is cut only if it is wider than so many rounding errors of its ends."""


@dataclass(frozen=True)
class CutGains:
    """The best cut of each of C values in D domains.

    score  `[D, C]`, what the cut could gain; −inf where there is none
    point  `[D, C]`, where it cuts
    """

    score: Tensor
    point: Tensor

    def take(self, which: Tensor) -> CutGains:
        return CutGains(self.score[which], self.point[which])


@torch.no_grad()
def cut_gains(bounder: DomainBounder, domains: Domains, bounded: BoundedDomains) -> CutGains | None:
    """Find the best cut of each value; None if the domains have no values that can be cut."""
    cuttable = bounder.cuttable
    if cuttable is None or not cuttable.count:
        return None
    ranges, boxes = cuttable.ranges(domains.cuts), dict(bounder.bounds)
    boxes |= cuttable.boxes(domains.cuts, bounder.bounds)
    points = {name: _candidates(bounder, name, boxes[name]) for name in cuttable.columns}
    gains = {name: torch.zeros_like(points[name]) for name in cuttable.columns}
    for node in bounder.cut_readers:
        if node.name in bounded.outputs:
            _add_gains(_Reader(bounder, node, boxes, bounded), points, gains)
    score = torch.full_like(ranges.lower, -torch.inf)
    point = (ranges.lower + ranges.upper) / 2
    reach = torch.maximum(ranges.lower.abs(), ranges.upper.abs())
    least = NARROWEST * torch.finfo(reach.dtype).eps * reach
    for name, part in cuttable.columns.items():
        best = gains[name].nan_to_num(nan=0.0, posinf=0.0).flatten(2).max(0)
        score[:, part] = best.values
        point[:, part] = points[name].flatten(2).gather(0, best.indices.unsqueeze(0)).squeeze(0)
    inside = (point - ranges.lower > least) & (ranges.upper - point > least)
    room = (domains.sign == 0).sum(1, keepdim=True) >= ROOM
    return CutGains(torch.where(inside & room, score, -torch.inf), point)


ROOM = 16
"""A domain is cut only while it has room for so many cuts, since several are made at once."""


def _candidates(bounder: DomainBounder, name: str, box: Interval) -> Tensor:
    """Return the points `[K, D, *shape]` at which a start node may be cut."""
    width = box.upper - box.lower
    points = [box.lower + share * width for share in SHARES]
    for node in bounder.cut_readers:
        rule = RULES[node.op].cut_point
        if rule is not None and name in node.inputs and node.shape == box.lower.shape[1:]:
            best = rule(node, box)
            points.append(torch.where((best > box.lower) & (best < box.upper), best, points[0]))
    return torch.stack(points)


class _Reader:
    """A node whose inputs may be cut, with its lines and the rows at its output."""

    def __init__(
        self,
        bounder: DomainBounder,
        node: Node,
        boxes: Mapping[str, Interval],
        bounded: BoundedDomains,
    ) -> None:
        operator, domains = RULES[node.op], len(bounded.margin)
        assert operator.relax is not None and operator.initial is not None
        self.node, self.relax, self.initial = node, operator.relax, operator.initial
        self.boxes = tuple(_wide(boxes[name], domains) for name in node.inputs)
        self.rows = bounded.outputs[node.name]
        self.lines = self.relax(node, self.boxes, self._alpha(bounder, bounded))

    def _alpha(self, bounder: DomainBounder, bounded: BoundedDomains) -> Tensor:
        node = self.node
        alpha = self.initial(node, self.boxes).unsqueeze(1)
        neuron_alpha = bounded.parameters.alpha[..., bounder.neurons.columns[node.name]]
        index = bounder.neurons.unstable[node.name].index
        flat = alpha.flatten(2).expand(-1, neuron_alpha.shape[1], -1).clone()
        flat[..., index] = neuron_alpha.to(flat)
        return flat.reshape(*flat.shape[:2], *alpha.shape[2:])

    @property
    def by_elements(self) -> bool:
        """True if output i depends on element i of each input alone."""
        alike = all(shape == self.node.shape for shape in self.node.input_shapes)
        return isinstance(self.lines, Lines) and alike and not RULES[self.node.op].mixes

    def gain(self, name: str, points: Tensor) -> Tensor:
        """Return the score `[D, *shape]` of cutting the input `name` at `points`."""
        box = self.boxes[self.node.inputs.index(name)]
        low = self._gain_in(name, Interval(box.lower, points))
        high = self._gain_in(name, Interval(points, box.upper))
        return torch.minimum(low, high) + (low + high) / 2

    def _gain_in(self, name: str, half: Interval) -> Tensor:
        boxes = tuple(
            half if input_name == name else box
            for input_name, box in zip(self.node.inputs, self.boxes, strict=True)
        )
        sharper = self.relax(self.node, boxes, self.initial(self.node, boxes).unsqueeze(1))
        points = [((box.lower + box.upper) / 2).unsqueeze(1) for box in boxes]
        (low, high), (below, above) = _values(sharper, points), _values(self.lines, points)
        gain = torch.where(self.rows >= 0, low - below, high - above) * self.rows
        return gain.clamp(min=0).mean(1)

    def gains_of_middle(self) -> tuple[Tensor, ...]:
        """Return the scores `[D, *input_shape]` of cutting each input in its middle.

        An operator without a rule for them gains in proportion to the reach of the row.
        """
        rule = RULES[self.node.op].cut_gain
        if rule is not None:
            return rule(self.node, self.boxes, self.rows)
        return tuple(
            rows.abs().mean(1) * (box.upper - box.lower) / 8
            for rows, box in zip(self.lines.pull(self.rows).coefficients, self.boxes, strict=True)
        )


def _add_gains(reader: _Reader, points: Mapping[str, Tensor], gains: Mapping[str, Tensor]) -> None:
    inputs = reader.node.inputs
    if reader.by_elements:
        for name in dict.fromkeys(inputs):
            for point, total in zip(points[name], gains[name], strict=True):
                total += reader.gain(name, point)
        return
    for name, gain in zip(inputs, reader.gains_of_middle(), strict=True):
        gains[name][0] += gain


def _values(lines: Relaxation, point: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the values of the line below and of the line above at the points `point`."""
    assert isinstance(lines, Lines)
    low: Tensor | float = 0.0 if lines.lower_intercept is None else lines.lower_intercept
    high: Tensor | float = 0.0 if lines.upper_intercept is None else lines.upper_intercept
    for below, above, x in zip(lines.lower_slopes, lines.upper_slopes, point, strict=True):
        low, high = low + below * x, high + above * x
    assert isinstance(low, Tensor) and isinstance(high, Tensor)
    return low, high


def _wide(box: Interval, domains: int) -> Interval:
    shape = (domains, *box.lower.shape[1:])
    return Interval(box.lower.expand(shape), box.upper.expand(shape))
