"""The slopes α and the state of their optimiser, stored for each tile of rows.

There is an α for each combination of node, row and unstable neuron of the node. Any value in [0, 1]
gives a sound bound, so α is stored in 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.drawn import Drawn, NeuronLines
from boundmesh.bounds.relaxation.fixed_lines import SharedLines
from boundmesh.bounds.relaxation.lines import at, boxes_of, in_one_pass, neurons_at, pieces_of
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels import sloped_windows
from boundmesh.kernels.gradient_use import NO_GRADIENT, AdamSteps
from boundmesh.kernels.pieces import Maps, Pieces
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node

STORED = torch.float16
MOMENTS = torch.bfloat16  # gradients span more powers of two than float16 holds


@dataclass(frozen=True)
class UnstableNeurons:
    """The neurons of a nonlinear node's first input that have an α.

    index    `[U]`, flat indices of the neurons
    initial  `[D, U]`, CROWN's α
    places   `[size]` (int32), the place of each neuron in `index` (−1: the neuron has no α)
    part     the node reduced to these neurons; the node itself if it is not elementwise

    In a node that is not elementwise, either all neurons have an α or none has.
    """

    index: Tensor
    initial: Tensor
    places: Tensor
    part: Node


def has_unstable(node: Node, bounds: Mapping[str, Interval]) -> bool:
    """Return True if a nonlinear node has an unstable neuron in any domain."""
    unstable = RULES[node.op].unstable
    assert unstable is not None
    return bool(unstable(node, boxes_of(node, bounds)).any())


def unstable_neurons_of(
    node: Node, bounds: Mapping[str, Interval], *, known: bool = False
) -> UnstableNeurons:
    """Find the neurons of a nonlinear node that are unstable in some domain, with CROWN's α.

    `known` is true if the node has an unstable neuron on some rank, perhaps not on this one.
    """
    operator = RULES[node.op]
    inputs = boxes_of(node, bounds)
    assert operator.unstable is not None and operator.initial is not None
    where = operator.unstable(node, inputs).flatten(1).any(0)
    if not one_by_one(node):
        where = (where.any() | known).expand(where.shape)
    index = where.nonzero().squeeze(1)
    places = torch.full(where.shape, -1, dtype=torch.int32, device=where.device)
    places[index] = torch.arange(len(index), dtype=torch.int32, device=where.device)
    if not one_by_one(node):
        initial = operator.initial(node, inputs).flatten(1)[:, index]
        return UnstableNeurons(index, initial, places, node)
    # This copies the attributes of the part to the device, which a recorded step must not do.
    part, boxes = neurons_at(node, index), tuple(at(box, index) for box in inputs)
    return UnstableNeurons(index, operator.initial(part, boxes), places, part)


@dataclass
class Slope:
    """The slopes of one node for the rows of one tile.

    value          α, `[D, S, U]`
    first, second  Adam's two moments of α's gradient, `[D, S, U]` each
    """

    value: Tensor
    first: Tensor
    second: Tensor

    @staticmethod
    def start(initial: Tensor, rows: int, stored: torch.dtype = STORED) -> Slope:
        value = initial.to(stored).unsqueeze(1).repeat(1, rows, 1)
        moment = torch.zeros_like(value, dtype=MOMENTS)
        return Slope(value, moment, moment.clone())

    def steps(self, pace: Tensor, tick: Tensor) -> AdamSteps:
        """Create the step of `ascend` for the kernel that computes the gradient."""
        return AdamSteps(self.first, self.second, pace, tick)

    def ascend(self, gradient: Tensor, pace: Tensor) -> None:
        """Take one ascending step of Adam (arXiv 1412.6980), then clamp α to [0, 1].

        `pace` `[3]` is one row of `StepSizes.steps`.
        """
        first = self.first.float().lerp(gradient.float(), 1 - 0.9)
        second = self.second.float().mul(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        self.first.copy_(first)
        self.second.copy_(second)
        rate, first_share, second_share = pace
        second.div_(second_share).sqrt_().add_(1e-12)
        first.div_(first_share).div_(second).mul_(rate)
        # A gradient of NaN must not reach α, so no step is taken there.
        self.value.copy_(first.nan_to_num_(0.0).add_(self.value).clamp_(0, 1))


TileSlopes = dict[str, Slope]
"""The slopes of one tile by node name."""


def start_slopes(
    program: Program,
    tile: Tile,
    unstable: Mapping[str, UnstableNeurons],
    stored: torch.dtype = STORED,
) -> TileSlopes:
    """Create CROWN's slopes for every node of `unstable` that a sweep of `tile` passes."""
    return {
        node.name: Slope.start(unstable[node.name].initial, tile.rows.count, stored)
        for node in program.below(tile.start)
        if node.name in unstable
    }


class SlopedLines:
    """Relaxations with a slope α of its own for each row and unstable neuron.

    bounds     the bounds of the start nodes, by name
    unstable   the unstable neurons of each node; other nodes have the shared lines only
    shared     the lines that all rows share
    alpha      α `[D, S, U]` of the tile's rows, by node name
    steps      the steps of Adam that a kernel takes during autograd's backward pass, by node name
    maps       what rows in windows read of these bounds, by node name; an entry is made when it is
               first used, and the lines of other tiles may share it
    """

    def __init__(
        self,
        bounds: Mapping[str, Interval],
        unstable: Mapping[str, UnstableNeurons],
        shared: SharedLines,
        alpha: Mapping[str, Tensor],
        steps: Mapping[str, AdamSteps],
        maps: dict[str, Maps],
    ) -> None:
        self._bounds, self._unstable = bounds, unstable
        self._shared, self._alpha, self._steps = shared, alpha, steps
        self._maps = maps

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        if node.name not in self._unstable:
            return Drawn(self._shared(node))
        index = self._unstable[node.name].index
        inputs = boxes_of(node, self._bounds)
        first = inputs[0].lower
        if tile.windowed and not sloped_windows.usable(first):
            return self._in_windows(node)
        if in_one_pass(node, first):
            return pieces_of(
                node,
                inputs[0],
                places=self._unstable[node.name].places,
                alpha=self._alpha[node.name],
                gradient_use=self._steps.get(node.name, NO_GRADIENT),
                index=index,
                maps=self._maps_of(node, inputs[0]) if tile.windowed else None,
            )
        alpha = self._alpha[node.name].to(first.dtype)
        relax = RULES[node.op].relax
        assert relax is not None
        if not one_by_one(node):
            shape = (*alpha.shape[:2], *first.shape[1:])
            return Drawn(relax(node, inputs, alpha.reshape(shape)))
        everything = len(index) == first[0].numel()
        box = Interval(first.flatten(1), inputs[0].upper.flatten(1))
        part = self._unstable[node.name].part
        at_neurons = relax(part, (box if everything else at(box, index),), alpha)
        return Drawn(None if everything else self._shared(node), NeuronLines(index, at_neurons))

    def _maps_of(self, node: Node, box: Interval) -> Maps:
        if node.name not in self._maps:
            neurons = self._unstable[node.name]
            lower, upper = box.lower.detach(), box.upper.detach()
            self._maps[node.name] = Maps(lower, upper, neurons.places, neurons.index)
        return self._maps[node.name]

    def _in_windows(self, node: Node) -> Drawn:
        neurons, (box,) = self._unstable[node.name], boxes_of(node, self._bounds)
        index = neurons.index
        alpha, relax = self._alpha[node.name].to(box.lower.dtype), RULES[node.op].relax
        assert relax is not None
        flat = Interval(box.lower.flatten(1), box.upper.flatten(1))
        at_neurons = relax(neurons.part, (at(flat, index),), alpha)
        return Drawn(self._shared(node), NeuronLines(index, at_neurons))
