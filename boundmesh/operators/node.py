"""What an operator is applied to: a node of the network, with known shapes."""

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

    `shape` and `input_shapes` leave out the domain dim, which every tensor carries in front: a
    value of this node is a tensor `[D, *shape]`. An ONNX batch axis of length 1 is an ordinary
    axis of `shape`; `axis` attributes count the axes of `shape`, never the domain dim.

    `weights` names arrays of `Graph.weights`, in the order the operator's rules take them. An
    attribute that is an array holds a number per neuron and has the node's shape.
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
        """Number of neurons, `prod(shape)`."""
        return math.prod(self.shape)

    @property
    def is_input(self) -> bool:
        """True for the network's input, which no operator computes."""
        return self.op == INPUT

    def picked(self, pick: Callable[[np.ndarray], np.ndarray]) -> Mapping[str, Any]:
        """The attributes with what `pick` takes of those that hold a number per neuron."""
        return {
            name: pick(value) if isinstance(value, np.ndarray) else value
            for name, value in self.attributes.items()
        }

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]
