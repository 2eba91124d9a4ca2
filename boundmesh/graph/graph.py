"""The network as boundmesh sees it: frozen nodes in topological order, with known shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from boundmesh.graph.formed import Formed
from boundmesh.operators.node import Node, Shape


@dataclass(frozen=True)
class Port:
    """A named input or output of the network as its file declares it, with its shape there."""

    name: str
    shape: Shape
    dtype: str = "float32"

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Graph:
    """A network with one input node and one output node.

    A network of several inputs has one flat input node, the concatenation of its `inputs` in the
    file's order, and slices of it; several `outputs` are joined by a flat concatenation likewise.

    `weights` maps names to arrays in host memory, possibly memory-mapped, never written to. Those
    that were computed from the file's numbers are in `formed`; all others are the file's own.
    `source` is the ONNX file, or its bytes, that counterexamples are replayed on.
    """

    nodes: tuple[Node, ...]
    input: str
    output: str
    weights: Mapping[str, np.ndarray]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    source: Path | bytes | None = None
    formed: Mapping[str, Formed] = field(default_factory=dict)
    unbounded: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Place of each node in the topological order."""
        return {node.name: place for place, node in enumerate(self.nodes)}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the nodes that read each node; a node that reads it twice stands twice."""
        readers: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node.name)
        return {name: tuple(names) for name, names in readers.items()}

    @cached_property
    def singles(self) -> frozenset[str]:
        """Names of the weights whose numbers are all float32 numbers."""
        return frozenset(
            name
            for name, array in self.weights.items()
            if array.dtype != np.float64
            or np.array_equal(array, array.astype(np.float32).astype(np.float64))
        )

    def __getitem__(self, name: str) -> Node:
        return self.by_name[name]

    def ancestors(self, name: str) -> tuple[Node, ...]:
        """`name` and every node it depends on, in topological order."""
        wanted = {name}
        for node in reversed(self.nodes[: self.position[name] + 1]):
            if node.name in wanted:
                wanted.update(node.inputs)
        return tuple(node for node in self.nodes if node.name in wanted)
