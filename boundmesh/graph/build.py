"""`Builder` makes a Graph node by node. The forward rule of each operator gives the shapes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boundmesh.errors import UnsupportedError
from boundmesh.graph.check import result_shape
from boundmesh.graph.constant import Constant as Constant
from boundmesh.graph.constant import Given, floating, known
from boundmesh.graph.formed import Formed
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators import RULES
from boundmesh.operators.arithmetic import CONSTANT
from boundmesh.operators.node import INPUT, Node, Shape
from boundmesh.operators.reshape import EXPAND, RESHAPE


class Builder:
    """The nodes and weights of a Graph that is being made.

    `masked` tells, for each node that stands for −∞ at some elements, which ones: a mask of its
    shape, by name. The node itself is zero there. `kinds` lists the nodes that hold truth values
    ("b") or whole numbers ("i"). `reach` bounds the magnitude of whole numbers, and `types` has
    their types, where these are known, both by name.

    A node is added after its inputs. It is named after `scope`, the value of the file that is
    being translated. Only `rename` can give a node one of the names in `reserved`.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self.nodes: dict[str, Node] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.formed: dict[str, Formed] = {}
        self.unbounded: set[str] = set()
        self.masked: dict[str, np.ndarray] = {}
        self.kinds: dict[str, str] = {}
        self.reach: dict[str, float] = {}
        self.types: dict[str, str] = {}
        self.scope = "value"
        self._reserved = frozenset(reserved)
        self._read: set[str] = set()

    @staticmethod
    def onto(graph: Graph) -> Builder:
        """Return a builder that adds nodes to those of a graph; all names of the graph stay."""
        build = Builder()
        build.nodes, build.weights = dict(graph.by_name), dict(graph.weights)
        build.formed, build.unbounded = dict(graph.formed), set(graph.unbounded)
        build._read = {name for node in graph.nodes for name in node.inputs}
        return build

    def input(self, shape: Shape, name: str = "input") -> Node:
        """Add the input node, whose value is `[D, *shape]`."""
        return self._enter(Node(name, INPUT, (), shape))

    def add(
        self,
        op: str,
        *inputs: Node,
        weights: Sequence[Given] = (),
        shape: Shape | None = None,
        **attributes: Any,
    ) -> Node:
        """Add a node of `op`. Only reshape and expand need `shape`, which determines their result.

        Raises UnsupportedError if `op` has no rules.
        """
        if op not in RULES:
            raise UnsupportedError(
                f"operator '{op}' (value '{self.scope}') has no rules; supported: {sorted(RULES)}"
            )
        node = Node(
            self._free(f"{self.scope}:{op}"),
            op,
            tuple(value.name for value in inputs),
            shape or (),
            tuple(value.shape for value in inputs),
            attributes,
            tuple(self._weight(weight, f"{self.scope}:{op}:weight") for weight in weights),
        )
        self._read.update(node.inputs)
        return self._enter(replace(node, shape=result_shape(node, self.weights)))

    def include(self, graph: Graph, x: Node, prefix: str = "") -> Node:
        """Add the nodes of a whole graph, with x as its input; return its output node.

        The names of its nodes and weights get the prefix.
        """
        made = {graph.input: x}
        for node in graph.nodes:
            if node.is_input:
                continue
            inputs = tuple(made[name].name for name in node.inputs)
            weights = tuple(prefix + name for name in node.weights)
            name = self._free(prefix + node.name)
            made[node.name] = self._enter(replace(node, name=name, inputs=inputs, weights=weights))
            self._read.update(inputs)
        self.weights |= {prefix + name: array for name, array in graph.weights.items()}
        self.formed |= {prefix + name: formed for name, formed in graph.formed.items()}
        self.unbounded |= graph.unbounded
        return made[graph.output]

    def constant(self, value: Constant) -> Node:
        return self.add(CONSTANT.name, weights=(value,))

    def reshape(self, x: Node, shape: Shape) -> Node:
        return x if x.shape == shape else self.add(RESHAPE, x, shape=shape)

    def broadcast(self, x: Node, shape: Shape) -> Node:
        """Return `x` repeated to `shape`, as numpy broadcasts it."""
        x = self.reshape(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
        return x if x.shape == shape else self.add(EXPAND.name, x, shape=shape)

    def rename(self, node: Node, name: str) -> Node:
        """Rename the node, unless its name is reserved or another node already reads it."""
        fixed = node.name in self._reserved or node.name in self._read
        if node.is_input or fixed or name in self.nodes:
            return node
        del self.nodes[node.name]
        notes: tuple[dict[str, Any], ...] = (self.masked, self.kinds, self.reach, self.types)
        for noted in notes:
            if node.name in noted:
                noted[name] = noted.pop(node.name)
        return self._enter(replace(node, name=name))

    def graph(
        self,
        output: Node,
        inputs: tuple[Port, ...],
        outputs: tuple[Port, ...],
        source: Path | bytes | None = None,
    ) -> Graph:
        nodes = tuple(self.nodes.values())
        first = next(node.name for node in nodes if node.is_input)
        return Graph(nodes, first, output.name, self.weights, inputs, outputs, source, self.formed,
            frozenset(self.unbounded),
        )  # fmt: skip

    def _enter(self, node: Node) -> Node:
        self.nodes[node.name] = node
        return node

    def _free(self, name: str) -> str:
        if name not in self.nodes and name not in self._reserved:
            return name
        count = 2
        while f"{name}:{count}" in self.nodes or f"{name}:{count}" in self._reserved:
            count += 1
        return f"{name}:{count}"

    def _weight(self, weight: Given, name: str) -> str:
        """Enter an array into `weights` and return its name. The same array is entered once.

        float32 and float64 stay as they are. Other types become float32 if that is exact, and
        float64 otherwise.
        """
        constant = known(weight)
        array, formed = floating(constant.array), constant.formed
        base, count = constant.name or name, 1
        name = base
        while name in self.weights and not (
            _same(self.weights[name], array) and self.formed.get(name, formed) is formed
        ):
            count += 1
            name = f"{base}:{count}"
        self.weights.setdefault(name, array)
        if formed.depth:
            self.formed[name] = formed
        return name


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Return True if both arrays are the same view of the same memory."""
    return first.dtype == second.dtype and first.__array_interface__ == second.__array_interface__
