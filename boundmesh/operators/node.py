"""`Node`, one application of an operator in the network, with known shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Shape = tuple[int, ...]
INPUT = "input"
"""The op of the network's input node."""


@dataclass(frozen=True)
class Node:
    """One application of an operator.

    name          the name of the node, unique in its graph
    op            the name of the operator, a key of `RULES`, or `INPUT`
    inputs        the names of the nodes that it reads
    shape         the shape of its value, without the domain dim
    input_shapes  the shapes of the values it reads, without the domain dim
    attributes    settings of the operator; one that is an array holds a number per neuron and has
                  the node's shape
    weights       the names of arrays in `Graph.weights`, in the order in which the rules take them

    Every tensor has a domain dim in front: a value of this node is a tensor `[D, *shape]`. An ONNX
    batch axis of length 1 is an ordinary axis of `shape`. Attributes such as `axis` count the axes
    of `shape` and never the domain dim.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: Shape
    input_shapes: tuple[Shape, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()

    @cached_property
    def size(self) -> int:
        """The number of neurons, `prod(shape)`."""
        return math.prod(self.shape)

    @property
    def is_input(self) -> bool:
        """True for the network's input, which no operator computes."""
        return self.op == INPUT

    def picked(self, pick: Callable[[np.ndarray], np.ndarray]) -> Mapping[str, Any]:
        """Return the attributes, with `pick` applied to those that hold a number per neuron."""
        return {
            name: pick(value) if isinstance(value, np.ndarray) else value
            for name, value in self.attributes.items()
        }

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]
