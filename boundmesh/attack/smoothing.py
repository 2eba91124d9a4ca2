"""Gradients through operators that jump, such as signs, comparisons and rounding.

The gradient of a jump is zero, so that no descent leads across it. The attack therefore follows the
gradient of a smooth function in its place, while every value stays exact (the straight-through
estimator, arXiv 1308.3432). The width over which that function rises is measured: it is how far the
operator's input moves where the network's input moves at random within the region. So a jump that
no point of the region comes near to gets almost no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.space import Space
from boundmesh.graph.forward import values
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES

SAMPLES = 16
"""So many random points measure the widths, where memory for them suffices."""

TYPICAL = 0.1
"""The least width of a neuron, as a share of the average over its node."""

WIDE, NARROW = 3.0, 0.3
"""The widths in the first and in the last step of a descent, as multiples of the measured ones."""


@dataclass(frozen=True)
class Smoothing:
    """The measured widths of the nodes that jump, by node name: `[1, *input_shape]`, all > 0."""

    widths: Mapping[str, Tensor]

    def scaled(self, scale: Tensor | float) -> dict[str, Tensor]:
        """Return the widths times a number, or times a tensor of one number."""
        return {name: width * scale for name, width in self.widths.items()}


def jumping(graph: Graph) -> tuple[str, ...]:
    """Return the names of the nodes that jump and have a smoothed function."""
    return tuple(
        node.name
        for node in graph.nodes
        if not node.is_input and RULES[node.op].smoothed is not None
    )


@torch.no_grad()
def measured(
    graph: Graph, weights: Mapping[str, Tensor], space: Space, count: int, seed: int = 0
) -> Smoothing:
    """Measure the widths of all nodes that jump at `count` random points of a space."""
    names = jumping(graph)
    if not names:
        return Smoothing({})
    x = space.random(max(2, count), torch.Generator().manual_seed(seed))
    found = values(graph, weights, x)
    return Smoothing({name: _spread(found[graph[name].inputs[0]]) for name in names})


def _spread(value: Tensor) -> Tensor:
    """Return how far each neuron moves among points `[N, *shape]`: its standard deviation.

    Neurons that move less than a share of the average do not count as narrower than that, and a
    node whose neurons all stand still is as wide as rounding.
    """
    finite = value.nan_to_num(0, 0, 0)
    spread = finite.std(0, correction=0, keepdim=True)
    least = torch.finfo(value.dtype).eps * finite.abs().mean().clamp(min=1)
    return spread.clamp(min=TYPICAL * spread.mean() + least)
