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


def narrowing(steps: int) -> float:
    """Return the factor from the width of one step to that of the next, in `steps` steps."""
    factor: float = (NARROW / WIDE) ** (1 / max(1, steps - 1))
    return factor


@dataclass(frozen=True)
class Smoothing:
    """The measured widths of the nodes that jump, by node name: `[D, *input_shape]`, all > 0.

    D counts the regions that are searched together.
    """

    widths: Mapping[str, Tensor]

    def scaled(self, scale: Tensor | float, points: int = 1) -> dict[str, Tensor]:
        """Return the widths for so many points of each region, `[D · points, *input_shape]`.

        They are multiplied by a number, or by a tensor of one number.
        """
        found = {name: width * scale for name, width in self.widths.items()}
        if points == 1:
            return found
        return {name: width.repeat_interleave(points, 0) for name, width in found.items()}

    def take(self, which: Tensor) -> Smoothing:
        """Return the widths of the regions in the mask `which` `[D]`."""
        return Smoothing({name: width[which] for name, width in self.widths.items()})


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
    x = space.random(max(2, count), torch.Generator().manual_seed(seed))
    return measured_at(graph, weights, x.unsqueeze(0))


@torch.no_grad()
def measured_at(graph: Graph, weights: Mapping[str, Tensor], x: Tensor) -> Smoothing:
    """Measure the widths of all nodes that jump at points `[D, N, inputs]` of D regions."""
    names = jumping(graph)
    if not names:
        return Smoothing({})
    found = values(graph, weights, x.flatten(0, 1))
    widths = {}
    for name in names:
        value = found[graph[name].inputs[0]]
        # A value that depends on no input is there once.
        every = value.expand(x.shape[0] * x.shape[1], *value.shape[1:])
        widths[name] = _spread(every.unflatten(0, x.shape[:2]))
    return Smoothing(widths)


def _spread(value: Tensor) -> Tensor:
    """Return how far each neuron moves among points `[D, N, *shape]`: its standard deviation.

    Neurons that move less than a share of the average do not count as narrower than that, and a
    node whose neurons all stand still is as wide as rounding. The result is `[D, *shape]`.
    """
    finite = value.nan_to_num(0, 0, 0)
    spread, count = finite.std(1, correction=0), len(value)
    rounding = torch.finfo(value.dtype).eps * finite.abs().reshape(count, -1).mean(1).clamp(min=1)
    least = TYPICAL * spread.reshape(count, -1).mean(1) + rounding
    return torch.maximum(spread, least.reshape(count, *[1] * (spread.dim() - 1)))
