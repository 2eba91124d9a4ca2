"""`Node`, one application of an operator in the network, with known shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

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

    @cached_property
    def _copies(self) -> dict[tuple[str, torch.dtype, torch.device], Tensor]:
        return {}

    def tensor(self, attribute: str, like: Tensor) -> Tensor:
        """Return an attribute that holds numbers as a tensor of the dtype and device of `like`.

        It is copied to a device once: a step that is recorded must not copy from the host.
        """
        key = attribute, like.dtype, like.device
        if key not in self._copies:
            value = self.attributes[attribute]
            self._copies[key] = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        return self._copies[key]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: everything but the copies on devices."""
        return {name: value for name, value in self.__dict__.items() if name != "_copies"}

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]
