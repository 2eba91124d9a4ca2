"""Remembers the products that a sweep with gradients passed, and supplies their weights again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from boundmesh.bounds.sweep.node_weights import NodeWeights, Visit, visits
from boundmesh.operators.node import Node


class WeightStream(Protocol):
    """The part of `DeviceLayout` that supplies weights."""

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        """Yield each node with its weights; they are valid until the next node."""
        ...


class Tape:
    """The products that one sweep passed with gradients, and their weights for autograd.

    Autograd's backward pass reaches the products in reverse order. The weights for it are therefore
    one stream, which can fetch ahead.
    """

    def __init__(self, layout: WeightStream) -> None:
        self._layout = layout
        self._passed: list[Node] = []
        self._back: Iterator[NodeWeights] | None = None

    def passed(self, node: Node) -> None:
        self._passed.append(node)

    def back(self, node: Node) -> NodeWeights:
        """Return `node` with its weights. Calls must follow the reverse order of the products."""
        if self._back is None:
            self._back = self._layout.stream(visits(reversed(self._passed)))
        return next(node_weights for node_weights in self._back if node_weights.node is node)
