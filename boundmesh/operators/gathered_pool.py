"""A max pool as simpler operators: the elements of every window are gathered, and then reduced."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from boundmesh.operators.node import Node, Shape
from boundmesh.operators.unfolding import counts


def gathered(node: Node) -> tuple[Node, ...]:
    """Return nodes that gather the elements of all windows and reduce them by `max`."""
    (shape,) = node.input_shapes
    outer, places = shape[:2], elements_of_windows(node)
    steps: tuple[tuple[str, str, Shape, dict[str, Any]], ...] = (
        ("flat", "reshape", (*outer, prod(shape[2:])), {}),
        ("elements", "gather", (*outer, places.size), {"axis": 2, "index": tuple(places.flat)}),
        ("windows", "reshape", (*outer, *places.shape), {}),
        ("largest", "max", (*outer, len(places)), {"axis": 3}),
    )
    made, operand = [], Node(node.inputs[0], "", (), shape)
    for name, op, result, attributes in steps:
        before = operand
        operand = Node(
            f"{node.name}:{name}", op, (before.name,), result, (before.shape,), attributes
        )
        made.append(operand)
    return *made, Node(node.name, "reshape", (operand.name,), node.shape, (operand.shape,))


def elements_of_windows(node: Node) -> np.ndarray:
    """Return the flat places in a map of the elements of all windows, `[windows, kernel]`.

    Another element of the same window stands in for one of the padding.
    """
    axes, flat = len(node["kernel"]), np.zeros((), object)
    for axis, (length, count) in enumerate(
        zip(node.input_shapes[0][2:], counts(node), strict=True)
    ):
        starts = np.arange(count) * node["stride"][axis] - node["padding"][axis][0]
        places = starts[:, None] + np.arange(node["kernel"][axis]) * node["dilation"][axis]
        inside = (places >= 0) & (places < length)
        first = np.take_along_axis(places, inside.argmax(axis=1)[:, None], axis=1)
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = places.shape
        flat = flat * length + np.where(inside, places, first).astype(object).reshape(shape)
    return flat.reshape(-1, prod(node["kernel"]))
