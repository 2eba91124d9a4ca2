"""Plans a computation: which values need bounds, in which order, and the path of each sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import product_of
from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import Lengths
from boundmesh.read.shapes import stands_in


@dataclass(frozen=True)
class RowSize:
    """The size and form of a unit row, which started as a window, while it passes a node.

    size      the most numbers that it has meanwhile
    windowed  True if it lies in a window that is smaller than the map
    ruled     True if all operators before have a rule for windows, so that it lies in a window of
              any size
    """

    size: int
    windowed: bool
    ruled: bool


UnitRowPath = Mapping[str, RowSize]
"""The size and form of a unit row at every node of its path, by name."""


@dataclass(frozen=True)
class Program:
    """The plan for bounding `target`, the name of a node of `graph`.

    `starts` are the values that nonlinear operators read, in topological order. Each of them needs
    bounds before the relaxation of its readers can be computed.
    """

    graph: Graph
    target: str

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that `target` depends on, and `target` itself, in topological order."""
        return self.graph.ancestors(self.target)

    @cached_property
    def nonlinear(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes if not n.is_input and not RULES[n.op].affine)

    @cached_property
    def starts(self) -> tuple[str, ...]:
        wanted = {name for node in self.nonlinear for name in node.inputs}
        return tuple(node.name for node in self.nodes if node.name in wanted)

    @cached_property
    def readers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nonlinear nodes that read each start node."""
        return {
            start: tuple(node for node in self.nonlinear if start in node.inputs)
            for start in self.starts
        }

    @cached_property
    def has_curves(self) -> bool:
        """True if a nonlinear operator is anything but two linear pieces that meet at zero."""
        return any(RULES[node.op].slope_below is None for node in self.nonlinear)

    @cached_property
    def _orders(self) -> dict[str, tuple[Node, ...]]:
        return {}

    def order(self, start: str) -> tuple[Node, ...]:
        """Return `start` and its ancestors, last first: the path of a backward sweep."""
        if start not in self._orders:
            self._orders[start] = tuple(reversed(self.graph.ancestors(start)))
        return self._orders[start]

    def below(self, start: str) -> tuple[Node, ...]:
        """Return the nonlinear nodes that a sweep from `start` passes, last first."""
        return tuple(n for n in self.order(start) if not n.is_input and not RULES[n.op].affine)

    @cached_property
    def _widest(self) -> dict[str, int]:
        return {}

    def widest(self, start: str) -> int:
        """Return the size of the largest value that a sweep from `start` passes, in neurons."""
        if start not in self._widest:
            shapes = [shape for n in self.order(start) for shape in (n.shape, *n.input_shapes)]
            self._widest[start] = max(map(math.prod, shapes))
        return self._widest[start]

    @cached_property
    def unit_row_paths(self) -> dict[str, UnitRowPath | None]:
        """The paths of unit rows by start node, as far as they were found."""
        return {}

    @cached_property
    def lengths(self) -> Mapping[str, Lengths]:
        """The number of roundings at each affine node, of its value and of rows pulled back."""
        own_weights = {
            node.name: [tensor(self.graph.weights[name]) for name in node.weights]
            for node in self.nodes
        }
        return {
            node.name: Lengths()
            if node.is_input
            else RULES[node.op].lengths(node, own_weights[node.name])
            for node in self.nodes
        }

    @cached_property
    def nonnegative(self) -> frozenset[str]:
        """The products, by name, all of whose weights and biases are zero or more."""
        return frozenset(
            node.name
            for node in self.nodes
            if product_of(node) is not None
            and all(_none_negative(self.graph.weights[name]) for name in node.weights)
        )

    @cached_property
    def joins(self) -> Mapping[str, int]:
        """The number of roundings of each node's coefficients outside of products.

        Coefficients from several readers add up, and the multiplier β of a split is subtracted.
        """
        own_names = {node.name for node in self.nodes}
        readers = {
            name: sum(reader in own_names for reader in self.graph.consumers[name])
            for name in own_names
        }
        joins = dict.fromkeys(own_names, 0)
        for node in self.nodes:
            for name in node.inputs:
                joins[node.name] = max(joins[node.name], readers[name] - 1)
        for name in self.starts:
            joins[name] += 2
        return joins

    @cached_property
    def additions(self) -> int:
        """The largest number of biases that a row adds up during a sweep."""
        return sum(bool(node.weights) or node in self.nonlinear for node in self.nodes) + 2

    @cached_property
    def charged_at(self) -> Mapping[str, str]:
        """The nodes at which rows are charged with the rounding errors of others, by their names.

        If a node passes rows on as they are, and alone reads one of its inputs, every sweep has the
        same rows at both. The errors of both are then charged there at once.
        """
        found: dict[str, str] = {}
        for node in self.nodes:
            keeps = not node.is_input and RULES[node.op].keeps_rows
            for name in node.inputs if keeps else ():
                alone = self.graph.consumers[name] == (node.name,) and name not in self.starts
                if alone and self.graph[name].shape == node.shape and node.name not in found:
                    found[node.name] = found.get(name, name)
        return found

    @cached_property
    def exact(self) -> frozenset[str]:
        """The nodes whose interval is their exact range if the region is a box."""
        boxes, exact = {self.graph.input}, {self.graph.input}
        for node in self.nodes:
            distinct = len(set(node.inputs)) == len(node.inputs)
            if node.inputs and distinct and all(name in boxes for name in node.inputs):
                if RULES[node.op].keeps_box:
                    boxes.add(node.name)
                    exact.add(node.name)
                elif RULES[node.op].exact_on_box and len(node.inputs) == 1:
                    exact.add(node.name)
            elif (
                node.inputs
                and (RULES[node.op].keeps_box or _rises_alone(node))
                and all(name in exact for name in node.inputs)
            ):
                exact.add(node.name)
        return frozenset(exact)

    def unstable(self, start: str, boxes: Mapping[str, Interval]) -> Tensor:
        """Return the mask `[D, size]` of the unstable neurons of `start`.

        A neuron is unstable if the relaxation of some reader is not exact there.
        """
        box = boxes[start]
        mask = torch.zeros_like(box.lower, dtype=torch.bool).flatten(1)
        for node in self.readers[start]:
            operator = RULES[node.op]
            assert operator.unstable is not None, f"'{node.op}' is affine"
            if node.inputs[0] == start or node.input_shapes[0] == self.graph[start].shape:
                inputs = tuple(boxes[name] for name in node.inputs if name in boxes)
                if len(inputs) == len(node.inputs):
                    mask = mask | operator.unstable(node, inputs).flatten(1)
                    continue
            mask = torch.ones_like(mask)
        return mask


def _rises_alone(node: Node) -> bool:
    """Return True if each output is a rising function of one input, so that ranges stay exact."""
    operator = RULES[node.op]
    alike = len(node.inputs) == 1 and node.shape == node.input_shapes[0]
    return alike and operator.rising and operator.relax is not None and not operator.mixes


def _none_negative(weight: np.ndarray) -> bool:
    """Return True if all numbers are zero or more; False for a `stand_in`, whose are unknown.

    Most weights have a negative number among their first.
    """
    if stands_in(weight):
        return False
    first = weight[(slice(0, 1),) * max(0, weight.ndim - 1)]
    return bool((first >= 0).all() and (weight >= 0).all())
