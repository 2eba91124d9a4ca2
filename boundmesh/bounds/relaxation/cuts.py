"""Cuts: domains in which a value that a curve, a product or a softmax reads lies on one side.

A piecewise-linear neuron is split once, where it bends. Any other nonlinear operator gets tighter
lines whenever the range of one of its inputs gets smaller, so a domain can cut each value that it
reads, at any point p and as often as it pays (arXiv 2405.21063). As for a split, the condition has
a multiplier β ≥ 0:

    sign·(z − p) ≥ 0   ⟹   ⟨A, z⟩ ≥ ⟨A − β·sign, z⟩ + β·sign·p
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.program import Program
from boundmesh.kernels.sums import added
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node

MOST_CUTS = 64
"""A domain holds so many cuts. A cut on the side of an earlier cut of a value takes its place."""


@dataclass(frozen=True)
class Cuts:
    """The cuts of D domains, M for each.

    place  `[D, M]`, which of the values of `CutValues` is cut
    sign   `[D, M]` (int8): +1 for value ≥ point, −1 for value ≤ point, 0 for no cut
    point  `[D, M]`, where it is cut
    """

    place: Tensor
    sign: Tensor
    point: Tensor

    def take(self, which: Tensor) -> Cuts:
        return Cuts(self.place[which], self.sign[which], self.point[which])

    def double(self) -> Cuts:
        """Return the same cuts in float64, which is exact."""
        return Cuts(self.place, self.sign, self.point.double())


@dataclass(frozen=True)
class CutValues:
    """The C values that can be cut: the start nodes that are read by anything but split neurons.

    columns       the part of the C that belongs to each start node, by name
    readers       the node at which the multipliers of a start node are subtracted, by the start
                  node's name
    lower, upper  `[C]`, the root's bounds
    """

    columns: Mapping[str, slice]
    readers: Mapping[str, str]
    lower: Tensor
    upper: Tensor

    @property
    def count(self) -> int:
        return len(self.lower)

    @property
    def slots(self) -> int:
        """How many cuts a domain holds at most: none where no value can be cut."""
        return MOST_CUTS if self.count else 0

    def nodes(self, program: Program) -> tuple[Node, ...]:
        """Return the nodes whose lines get tighter where their inputs are cut."""
        return tuple(node for node in program.nonlinear if _gains(node))

    def ranges(self, cuts: Cuts) -> Interval:
        """Return the bounds `[D, C]` of all values in domains with the given cuts."""
        value, wide = cuts.place.long(), (len(cuts.place), -1)
        low = torch.where(cuts.sign > 0, cuts.point, -torch.inf)
        high = torch.where(cuts.sign < 0, cuts.point, torch.inf)
        return Interval(
            self.lower.expand(wide).scatter_reduce(1, value, low, "amax"),
            self.upper.expand(wide).scatter_reduce(1, value, high, "amin"),
        )

    def boxes(self, cuts: Cuts, bounds: Mapping[str, Interval]) -> dict[str, Interval]:
        """Return the bounds `[D, *shape]` of the start nodes that can be cut, by name."""
        ranges = self.ranges(cuts)
        return {
            name: Interval(
                ranges.lower[:, columns].reshape(-1, *bounds[name].lower.shape[1:]),
                ranges.upper[:, columns].reshape(-1, *bounds[name].lower.shape[1:]),
            )
            for name, columns in self.columns.items()
        }

    def double(self) -> CutValues:
        """Return the same values with bounds in float64, which is exact."""
        return CutValues(self.columns, self.readers, self.lower.double(), self.upper.double())

    def taken(self, node: Node, cuts: Cuts, beta: Tensor, share: float) -> CutChanges | None:
        """Return the changes of rows at a node's inputs by cuts, with multipliers β `[D, S, M]`.

        `share` bounds the relative rounding error of the sums; it is subtracted from the bias.
        """
        own_names = [
            name for name in dict.fromkeys(node.inputs) if self.readers.get(name) == node.name
        ]
        if not own_names or not self.count:
            return None
        value, signed = cuts.place.long(), beta * cuts.sign.unsqueeze(1)
        multipliers: list[Tensor | None] = []
        within = torch.zeros_like(cuts.sign, dtype=torch.bool)
        for number, name in enumerate(node.inputs):
            if name not in own_names or name in node.inputs[:number]:
                multipliers.append(None)
                continue
            part, shape = self.columns[name], node.input_shapes[number]
            here = (value >= part.start) & (value < part.stop)
            within |= here
            local = torch.where(here, value - part.start, 0).unsqueeze(1).expand(signed.shape)
            changes = signed.new_zeros(*signed.shape[:2], part.stop - part.start)
            changes = changes.scatter_add(2, local, torch.where(here.unsqueeze(1), signed, 0))
            multipliers.append(changes.reshape(*changes.shape[:2], *shape))
        reach = torch.maximum(self.lower.abs(), self.upper.abs())[value]
        terms = torch.where(within, cuts.point, 0).unsqueeze(1) * signed
        size = torch.where(within, reach, 0).unsqueeze(1) * beta.detach()
        return CutChanges(tuple(multipliers), terms.sum(2) - share * size.sum(2))


@dataclass(frozen=True)
class CutChanges:
    """The changes that cuts make to rows at the inputs of a node.

    multipliers  for each input `[D, S, *input_shape]`, which is subtracted from the coefficients
                 (None: nothing is)
    gained       `[D, S]`, which is added to the bias
    """

    multipliers: tuple[Tensor | None, ...]
    gained: Tensor

    def off(self, pulled: Pulled) -> Pulled:
        """Return rows after the cuts' conditions were used."""
        coefficients = tuple(
            rows if less is None else rows - less
            for rows, less in zip(pulled.coefficients, self.multipliers, strict=True)
        )
        return Pulled(coefficients, added(pulled.bias, self.gained))


def _gains(node: Node) -> bool:
    """Return True if cuts make the node's lines tighter where splits do not."""
    return RULES[node.op].split_point is None or not one_by_one(node)


def cut_values(program: Program, bounds: Mapping[str, Interval]) -> CutValues:
    """Find the values of one root domain (D = 1) that can be cut.

    A neuron that is split where it bends needs no cut. Values with infinite bounds can be cut, but
    are never chosen.
    """
    columns, readers, count = {}, {}, 0
    for node in program.nonlinear:
        if not _gains(node):
            continue
        for name in node.inputs:
            if name not in columns:
                size = bounds[name].lower[0].numel()
                columns[name], readers[name] = slice(count, count + size), node.name
                count += size
    any_box = next(iter(bounds.values()), None)
    nothing = torch.empty(0) if any_box is None else any_box.lower.new_empty(0)
    lower = [bounds[name].lower.flatten() for name in columns]
    upper = [bounds[name].upper.flatten() for name in columns]
    return CutValues(columns, readers, torch.cat([nothing, *lower]), torch.cat([nothing, *upper]))


def no_cuts(domains: int, slots: int, like: Tensor) -> Cuts:
    """Make `slots` cuts of each domain that cut nothing; `like` has their dtype and device."""
    blank = torch.zeros(domains, slots, device=like.device)
    return Cuts(blank.int(), blank.to(torch.int8), blank.to(like.dtype))
