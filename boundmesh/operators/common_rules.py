"""Rules that several families of operators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths

Weights = Sequence[Tensor]


def exact(node: Node, weights: Weights) -> Lengths:
    """Return the roundings of an affine operator that never rounds: none."""
    return Lengths()


def same_shape(node: Node, weights: Sequence[np.ndarray]) -> bool:
    """Return True: the operator is the identity wherever the shape stays the same."""
    return True


def same_partition(node: Node, cut: Partition) -> Partition:
    """Return the cut of the input: an operator that works neuron by neuron keeps it."""
    return cut


def other_axis(node: Node, cut: Partition) -> Partition | None:
    """Return the cut of the input unless it lies along the attribute `axis`, which gives None.

    An operator that works along `axis` keeps a cut along every other axis.
    """
    return None if cut.axis == node["axis"] else cut


def elementwise(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Make the forward rule of a function that is applied to each element of one input."""

    def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
        return function(x)

    return forward


def monotone(function: Callable[..., Tensor]) -> Callable[..., Interval]:
    """Make the interval rule of a nondecreasing operator: `[f(lower), f(upper)]`."""

    def interval(node: Node, weights: Weights, *boxes: Interval) -> Interval:
        return Interval(
            function(node, weights, *(box.lower for box in boxes)),
            function(node, weights, *(box.upper for box in boxes)),
        )

    return interval
