"""Computes operators in exact numbers: values are affine forms of the network's inputs.

A form of a value is an array of Fractions `[1 + inputs, *shape]`: its constant, then a coefficient
for each input. An operator that is linear in pieces has a condition, itself a form, and one form
where the condition is at least 0 and one where it is at most 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from boundmesh.operators.node import Node

Form = np.ndarray
Weights = Sequence[np.ndarray]


def shifted(x: Form, by: np.ndarray) -> Form:
    """Return `x + by`: the constant alone changes."""
    result = x.copy()
    result[0] = result[0] + by
    return result


def _linear(node: Node, weights: Weights, x: Form) -> Form:
    y = x @ weights[0].T
    return shifted(y, weights[1]) if len(weights) > 1 else y


def _sliced(node: Node, weights: Weights, x: Form) -> Form:
    return x[(slice(None), *(slice(*bounds) for bounds in node["ranges"]))]


AFFINE: dict[str, Callable[..., Form]] = {
    "linear": _linear,
    "shift": lambda node, weights, x: shifted(x, weights[0]),
    "scale": lambda node, weights, x: x * weights[0],
    "add": lambda node, weights, x, y: x + y,
    "subtract": lambda node, weights, x, y: x - y,
    "reshape": lambda node, weights, x: x.reshape(len(x), *node.shape),
    "slice": _sliced,
    "gather": lambda node, weights, x: np.take(x, node["index"], axis=node["axis"] + 1),
    "concat": lambda node, weights, *xs: np.concatenate(xs, axis=node["axis"] + 1),
}


def _constant(x: Form, value: Any) -> Form:
    return shifted(x * 0, value)


# Each has its condition, its form where that is ≥ 0, and its form where that is ≤ 0.
PIECES: dict[str, Callable[..., tuple[Form, Form, Form]]] = {
    "relu": lambda node, weights, x: (x, x, x * 0),
    "abs": lambda node, weights, x: (x, x, -x),
    "at_least": lambda node, weights, x: (
        shifted(x, -weights[0]),
        x,
        _constant(x, weights[0]),
    ),
    "at_most": lambda node, weights, x: (
        shifted(x, -weights[0]),
        _constant(x, weights[0]),
        x,
    ),
}
KNOWN = frozenset((*AFFINE, *PIECES))
