"""A node with its weights, as a layout serves them to a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from torch import Tensor

from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Product

# A part of a linear weight has at least this many outputs, that products with it stay efficient,
# and at least this many numbers, that fetching it does; and a weight has at most so many parts.
PART_OUTPUTS = 2048
PART_ELEMENTS = 2**20
MOST_PARTS = 8


@dataclass(frozen=True)
class Visit:
    """A node that a sweep comes to; of a linear node, the flat `outputs` it needs (None: all)."""

    node: Node
    outputs: np.ndarray | None = None

    def needed(self, low: int, high: int) -> tuple[int, int] | None:
        """The shortest run with all needed outputs `low ≤ i < high`; None if there are none."""
        if self.outputs is None:
            return low, high
        inside = self.outputs[(self.outputs >= low) & (self.outputs < high)]
        return (int(inside.min()), int(inside.max()) + 1) if len(inside) else None


def visits(nodes: Iterable[Node]) -> Iterator[Visit]:
    """Visits that need all outputs."""
    return (Visit(node) for node in nodes)


@dataclass(frozen=True)
class Part:
    """What of a product's first weight concerns the outputs `low ≤ i < high`."""

    low: int
    high: int
    weight: Tensor


class DistributedWeight(Protocol):
    """A linear node's weight W `[out, in]` whose parts lie on ranks that multiply them together."""

    def times(self, rows: Tensor) -> Tensor:
        """`A W`, `[R, out]` → `[R, in]`."""
        ...

    def transposed(self, gradients: Tensor) -> Tensor:
        """`G Wᵀ`, `[R, in]` → `[R, out]`."""
        ...


@dataclass(frozen=True)
class NodeWeights:
    """A node with its weights. The first weight of a product comes in `parts`, at least those that
    the visit needs, each of them the caller's until the next; `weights` are the others, and all
    those of other operators. Where the first weight is at hand undivided, it is `whole`, too; where
    it does not come, it is `spread`."""

    node: Node
    weights: tuple[Tensor, ...]
    parts: Iterable[Part] = ()
    whole: Tensor | None = None
    spread: DistributedWeight | None = None

    @property
    def together(self) -> tuple[Tensor, ...]:
        """All weights as the rules take them, where a product has but one part."""
        return (*(part.weight for part in self.parts), *self.weights)

    @cached_property
    def bias(self) -> Tensor:
        """A product's bias, the same along every axis but that of its outputs, `[1, 1, *shape]`."""
        node, (bias,) = self.node, self.weights
        bias = bias.reshape(-1, *[1] * (len(node.shape) - 1 - output_axis(node)))
        return bias.expand(1, 1, *node.shape).contiguous()


def product_of(node: Node) -> Product | None:
    """How the node multiplies by its first weight; None where it does not, or is the input."""
    return None if node.is_input else RULES[node.op].product


def is_divisible(node: Node) -> bool:
    """Whether products with parts of the node's first weight make its own product."""
    product = product_of(node)
    return product is not None and product.divisible


def multiplies_one_vector(node: Node) -> bool:
    """Whether a divisible product multiplies one vector: then unit rows are rows of its weight."""
    return is_divisible(node) and node.size == node.shape[-1]


def output_axis(node: Node) -> int:
    """The axis of a product's outputs: features of a linear node, channels of a convolution."""
    product = product_of(node)
    assert product is not None, f"'{node.op}' multiplies by no weight"
    return product.output_axis(node)


def part_spans(node: Node, weight_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Where the parts of a product's first weight begin and end: a function of the network alone.

    Each part is used whole in one product, so this decides the order of every sum over outputs.
    """
    if not is_divisible(node):
        return [(0, node.shape[output_axis(node)])]
    count, wide = weight_shape
    height = max(PART_OUTPUTS, PART_ELEMENTS // max(1, wide), -(-count // MOST_PARTS))
    return [(low, min(low + height, count)) for low in range(0, count, height)]


def parts_of(node: Node, weight: Tensor) -> list[Part]:
    """The parts of a product's first weight where all of it is at hand."""
    spans = part_spans(node, weight.shape)
    if len(spans) == 1:
        return [Part(*spans[0], weight)]
    return [Part(low, high, weight[low:high]) for low, high in spans]


def node_of_part(served: NodeWeights, low: int, high: int) -> tuple[Node, tuple[Tensor, ...]]:
    """A product as if it had the outputs `low ≤ i < high` alone, and their bias."""
    node, axis = served.node, output_axis(served.node)
    if high - low == node.shape[axis]:
        return node, served.weights
    shape = (*node.shape[:axis], high - low, *node.shape[axis + 1 :])
    return replace(node, shape=shape), tuple(each[low:high] for each in served.weights)
