"""α, the slopes of lower lines, and what its optimiser remembers: stored with the rows it serves.

α is keyed (node, start, tile). It exists only for neurons of the node that are undecided, and only
for rows that exist. Any value in [0, 1] is sound, so it is stored in 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.lines import (
    Drawn,
    Overlay,
    SharedLines,
    at,
    boxes_of,
    in_one_pass,
    neurons_at,
    one_by_one,
    pieces_of,
)
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels.pieces import NOBODY, Pieces, Steps
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Interval

STORED = torch.float16
MOMENTS = torch.bfloat16  # gradients span more powers of two than float16 holds


@dataclass(frozen=True)
class UnstableNeurons:
    """The neurons of a nonlinear node's first input that have an α: flat `index` `[U]`, the value
    `initial` `[D, U]` that CROWN gives it, and as `places` `[size]` (int32) which α is a neuron's,
    −1 for none. A node that does not work on its neurons one by one has an α for all of them or for
    none."""

    index: Tensor
    initial: Tensor
    places: Tensor


def has_unstable(node: Node, bounds: Mapping[str, Interval]) -> bool:
    """Whether a nonlinear node has an undecided neuron in any domain."""
    undecided = RULES[node.op].undecided
    assert undecided is not None
    return bool(undecided(node, boxes_of(node, bounds)).any())


def unstable_neurons_of(
    node: Node, bounds: Mapping[str, Interval], *, known: bool = False
) -> UnstableNeurons:
    """The neurons of a nonlinear node that are undecided in some domain, with CROWN's α.

    `known` says that the node has one, if not among the neurons of this rank.
    """
    operator = RULES[node.op]
    inputs = boxes_of(node, bounds)
    assert operator.undecided is not None and operator.initial is not None
    where = operator.undecided(node, inputs).flatten(1).any(0)
    if not one_by_one(node):
        where = (where.any() | known).expand(where.shape)
    index = where.nonzero().squeeze(1)
    places = torch.full(where.shape, -1, dtype=torch.int32, device=where.device)
    places[index] = torch.arange(len(index), dtype=torch.int32, device=where.device)
    return UnstableNeurons(index, operator.initial(node, inputs).flatten(1)[:, index], places)


@dataclass
class Slope:
    """α `[D, S, U]` of one node for the rows of one tile, with Adam's two moments."""

    value: Tensor
    first: Tensor
    second: Tensor

    @staticmethod
    def start(initial: Tensor, rows: int, stored: torch.dtype = STORED) -> Slope:
        value = initial.to(stored).unsqueeze(1).repeat(1, rows, 1)
        moment = torch.zeros_like(value, dtype=MOMENTS)
        return Slope(value, moment, moment.clone())

    def steps(self, pace: Tensor, tick: Tensor) -> Steps:
        """The same step as `ascend`, to be taken where the gradient is made."""
        return Steps(self.first, self.second, pace, tick)

    def ascend(self, gradient: Tensor, pace: Tensor) -> None:
        """One step of Adam uphill (arXiv 1412.6980) at a pace `[3]`, then back into [0, 1]."""
        first = self.first.float().lerp(gradient.float(), 1 - 0.9)
        second = self.second.float().mul(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        self.first.copy_(first)
        self.second.copy_(second)
        rate, first_share, second_share = pace
        second.div_(second_share).sqrt_().add_(1e-12)
        first.div_(first_share).div_(second).mul_(rate)
        # NaN (a gradient that was not a number) must not spread into α: such a step is not taken.
        self.value.copy_(first.nan_to_num_(0.0).add_(self.value).clamp_(0, 1))


TileSlopes = dict[str, Slope]
"""The slopes of one tile by node name."""


def start_slopes(
    program: Program,
    tile: Tile,
    undecided: Mapping[str, UnstableNeurons],
    stored: torch.dtype = STORED,
) -> TileSlopes:
    """CROWN's slopes for every node of `undecided` that a sweep of `tile` passes."""
    return {
        node.name: Slope.start(undecided[node.name].initial, tile.rows.count, stored)
        for node in program.below(tile.start)
        if node.name in undecided
    }


class SlopedLines:
    """Lines whose slopes are given per row: α `[D, S, U]` of a tile by node name.

    Nodes that are not in `undecided` have shared lines alone. `steps` says which nodes' slopes step
    on the way back.
    """

    def __init__(
        self,
        bounds: Mapping[str, Interval],
        undecided: Mapping[str, UnstableNeurons],
        shared: SharedLines,
        alpha: Mapping[str, Tensor],
        steps: Mapping[str, Steps],
    ) -> None:
        self._bounds, self._undecided = bounds, undecided
        self._shared, self._alpha, self._steps = shared, alpha, steps

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        if node.name not in self._undecided:
            return Drawn(self._shared(node))
        index = self._undecided[node.name].index
        inputs = boxes_of(node, self._bounds)
        first = inputs[0].lower
        if in_one_pass(node, first):
            return pieces_of(
                node,
                inputs[0],
                places=self._undecided[node.name].places,
                alpha=self._alpha[node.name],
                taker=self._steps.get(node.name, NOBODY),
            )
        alpha = self._alpha[node.name].to(first.dtype)
        relax = RULES[node.op].relax
        assert relax is not None
        if not one_by_one(node):
            shape = (*alpha.shape[:2], *first.shape[1:])
            return Drawn(relax(node, inputs, alpha.reshape(shape)))
        everything = len(index) == first[0].numel()
        box = Interval(first.flatten(1), inputs[0].upper.flatten(1))
        part = neurons_at(node, index)
        own = relax(part, (box if everything else at(box, index),), alpha)
        return Drawn(None if everything else self._shared(node), Overlay(index, own))
