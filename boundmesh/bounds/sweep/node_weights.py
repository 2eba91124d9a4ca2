"""Holds a node together with its weights, as a layout passes them to a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from torch import Tensor

from boundmesh.kernels.once import forbid_in_recording
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Product

# A part of a linear weight has at least PART_OUTPUTS outputs, so that products with it are
# efficient, and at least PART_ELEMENTS numbers, so that fetching it is. A weight has at most
# MOST_PARTS parts.
PART_OUTPUTS = 2048
PART_ELEMENTS = 2**20
MOST_PARTS = 8


@dataclass(frozen=True)
class Visit:
    """A node that a sweep will pass.

    outputs  flat indices `[n]` of the outputs that the sweep needs of a linear node (None: all)
    """

    node: Node
    outputs: np.ndarray | None = None

    def needed(self, low: int, high: int) -> tuple[int, int] | None:
        """Return the shortest run that contains all needed outputs `low ≤ i < high`.

        The result is None if none of these outputs is needed.
        """
        if self.outputs is None:
            return low, high
        inside = self.outputs[(self.outputs >= low) & (self.outputs < high)]
        return (int(inside.min()), int(inside.max()) + 1) if len(inside) else None


def visits(nodes: Iterable[Node]) -> Iterator[Visit]:
    """Create visits of nodes that need all outputs."""
    return (Visit(node) for node in nodes)


@dataclass(frozen=True)
class Part:
    """The part of a product's first weight that belongs to the outputs `low ≤ i < high`."""

    low: int
    high: int
    weight: Tensor


class DistributedWeight(Protocol):
    """A linear node's weight W `[out, in]` whose parts stay on several ranks.

    Every rank multiplies with its own parts, and all ranks get the result.
    """

    def times(self, rows: Tensor) -> Tensor:
        """Compute `A W`, `[R, out]` → `[R, in]`."""
        ...

    def transposed(self, gradients: Tensor) -> Tensor:
        """Compute `G Wᵀ`, `[R, in]` → `[R, out]`."""
        ...


@dataclass(frozen=True)
class NodeWeights:
    """A node with its weights.

    weights  the weights of the node; of a product, all but the first (the bias)
    parts    the first weight of a product in parts, at least those that the visit needs; a part is
             valid until the next one is taken from the iterator
    whole    the first weight of a product as one tensor, if it lies on this device (else None)
    distributed
             the first weight of a product if its parts stay on several ranks (else None); there
             are no `parts` then
    """

    node: Node
    weights: tuple[Tensor, ...]
    parts: Iterable[Part] = ()
    whole: Tensor | None = None
    distributed: DistributedWeight | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All weights in the order that rules expect; a product must have a single part."""
        return (*(part.weight for part in self.parts), *self.weights)

    @cached_property
    def bias(self) -> Tensor:
        """A product's bias, expanded to `[1, 1, *shape]`; it varies along the output axis only."""
        forbid_in_recording()
        node, (bias,) = self.node, self.weights
        bias = bias.reshape(-1, *[1] * (len(node.shape) - 1 - output_axis(node)))
        return bias.expand(1, 1, *node.shape).contiguous()


def product_of(node: Node) -> Product | None:
    """Return how the node multiplies by its first weight; None if it is not a product."""
    operator = RULES.get(node.op)
    return None if operator is None else operator.product


def is_divisible(node: Node) -> bool:
    """Return True if the node's product can be computed from parts of its first weight."""
    product = product_of(node)
    return product is not None and product.divisible


def multiplies_one_vector(node: Node) -> bool:
    """Return True if a divisible product multiplies one vector.

    Its unit rows are then rows of its weight.
    """
    return is_divisible(node) and node.size == node.shape[-1]


def output_axis(node: Node) -> int:
    """Return the axis of a product's outputs: features if linear, channels if a convolution."""
    product = product_of(node)
    assert product is not None, f"'{node.op}' multiplies by no weight"
    return product.output_axis(node)


def part_spans(node: Node, weight_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last output (exclusive) of each part of a product's first weight.

    The spans depend on the network alone. Each part is multiplied at once, so the spans fix the
    order of every sum over outputs, and with it the bits of the bounds.
    """
    if not is_divisible(node):
        return [(0, node.shape[output_axis(node)])]
    count, wide = weight_shape
    height = max(PART_OUTPUTS, PART_ELEMENTS // max(1, wide), -(-count // MOST_PARTS))
    return [(low, min(low + height, count)) for low in range(0, count, height)]


def parts_of(node: Node, weight: Tensor) -> list[Part]:
    """Cut a product's first weight, which lies on this device, into its parts."""
    spans = part_spans(node, weight.shape)
    if len(spans) == 1:
        return [Part(*spans[0], weight)]
    return [Part(low, high, weight[low:high]) for low, high in spans]


def node_of_part(node_weights: NodeWeights, low: int, high: int) -> tuple[Node, tuple[Tensor, ...]]:
    """Return a product reduced to the outputs `low ≤ i < high`, and their bias."""
    node, axis = node_weights.node, output_axis(node_weights.node)
    if high - low == node.shape[axis]:
        return node, node_weights.weights
    shape = (*node.shape[:axis], high - low, *node.shape[axis + 1 :])
    return replace(node, shape=shape), tuple(weight[low:high] for weight in node_weights.weights)
