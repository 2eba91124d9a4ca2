"""`Graph`, the network that boundmesh works on: nodes in topological order, with known shapes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from boundmesh.graph.formed import Formed
from boundmesh.operators.node import Node, Shape


@dataclass(frozen=True)
class Port:
    """A named input or output of the network, as its file declares it.

    name   the name in the file
    shape  the shape in the file
    dtype  the numpy name of the type in the file
    """

    name: str
    shape: Shape
    dtype: str = "float32"

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Subnetwork:
    """A network inside a graph that was made of several, or of one network and products.

    The outputs of all parts are the first outputs of the whole graph.

    graph   the network as it was read
    places  where the whole graph's flat input holds each flat input of the network
    """

    graph: Graph
    places: tuple[int, ...]


@dataclass(frozen=True)
class Extended:
    """A graph with more outputs: sums of its outputs that get tighter bounds in this way.

    graph   the graph; its flat output begins with the outputs of the graph that it extends
    places  the place of each sum, by its terms: pairs of an output and its coefficient
    """

    graph: Graph
    places: Mapping[tuple[tuple[int, Fraction], ...], int]


@dataclass(frozen=True)
class Graph:
    """A network with one input node and one output node.

    If the file declares several inputs, the input node is flat: it is their concatenation in the
    file's order, and slices of it are the inputs. Several outputs are joined in the same way.

    nodes      all nodes, in topological order
    input      the name of the input node
    output     the name of the output node
    weights    arrays in host memory, by name; some may be memory-mapped, and none is written to
    inputs     the inputs that the file declares, in its order
    outputs    the outputs that the file declares, in its order
    source     the ONNX file, or its bytes, on which counterexamples are replayed
    formed     for each weight that was computed from numbers of the file, how it was computed;
               a weight that is not listed stands in the file as it is
    unbounded  the ONNX operators of the file whose rounding has no known bound
    exposed    the names of those outputs that are inner values of the file, not outputs
    parts      the networks that this graph was made of; a graph made of a file has none
    extended   the graph that bounds are computed on, if it is another one with the same input; its
               weights are among the weights of this graph
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
    exposed: tuple[str, ...] = ()
    parts: tuple[Subnetwork, ...] = ()
    extended: Extended | None = None

    @property
    def bounded(self) -> Graph:
        """The graph that bounds are computed on."""
        return self if self.extended is None else self.extended.graph

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """The place of each node in the topological order, by name."""
        return {node.name: place for place, node in enumerate(self.nodes)}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the nodes that read each node. A node that reads it twice occurs twice."""
        readers: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node.name)
        return {name: tuple(names) for name, names in readers.items()}

    @cached_property
    def singles(self) -> frozenset[str]:
        """The names of the weights whose numbers float32 can all hold exactly."""
        return frozenset(
            name
            for name, array in self.weights.items()
            if array.dtype != np.float64
            or np.array_equal(array, array.astype(np.float32).astype(np.float64))
        )

    @cached_property
    def summary(self) -> str:
        """A description in words: `64 inputs, 10 outputs; 3 linear, 2 relu; 5,930 weights`."""
        ops = Counter(node.op for node in self.nodes if node.inputs)
        kinds = ", ".join(f"{count} {op.replace('_', ' ')}" for op, count in ops.most_common())
        inputs, outputs = (sum(p.size for p in ports) for ports in (self.inputs, self.outputs))
        used = {name for node in self.nodes for name in node.weights}
        weights = sum(self.weights[name].size for name in used)
        return (
            f"{counted(inputs, 'input')}, {counted(outputs, 'output')}; "
            f"{kinds or 'no operators'}; {counted(weights, 'weight')}"
        )

    def __repr__(self) -> str:
        return f"Graph({self.summary})"

    def __getitem__(self, name: str) -> Node:
        return self.by_name[name]

    def ancestors(self, name: str) -> tuple[Node, ...]:
        """Return the node `name` and every node it depends on, in topological order."""
        wanted = {name}
        for node in reversed(self.nodes[: self.position[name] + 1]):
            if node.name in wanted:
                wanted.update(node.inputs)
        return tuple(node for node in self.nodes if node.name in wanted)


def counted(number: int, noun: str) -> str:
    """Return `1 input`, `2 inputs` and so on."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
