"""Compares the values inside a network, one by one, with those of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from boundmesh.errors import ReadError
from boundmesh.graph.forward import AsNeeded
from boundmesh.graph.graph import Graph
from boundmesh.operators import Interval
from boundmesh.read.runtime import Inside, Runtime
from boundmesh.read.value_boxes import PRECISIONS, Precision, boxes

Look = Callable[[], None]
"""A function that is called in long work and may raise, to end it in time."""

Item = TypeVar("Item")


def no_look() -> None:
    """Look at no clock."""


def looking(items: Iterable[Item], look: Look) -> Iterator[Item]:
    """Yield the items, and call `look` before each."""
    for item in items:
        look()
        yield item


def first_difference(
    graph: Graph, points: np.ndarray, inside: Inside, look: Look = no_look
) -> str | None:
    """Name in words the first value that differs at one of the points; None where none does.

    A value of the graph is compared with that of the same name in the file. The graph computes it
    from ONNX Runtime's values before it, so that no difference is passed on or hidden.
    """
    precision = PRECISIONS[inside.narrowest]
    given = theirs(graph, points, inside, look)
    x = torch.from_numpy(points)
    with torch.no_grad():
        boxes_by_node = boxes(graph, AsNeeded(graph, torch.float64), x, precision, given)
        for node, box in looking(boxes_by_node, look):
            if node.name in given and not agrees(given[node.name], box, precision):
                return f", first at '{node.name}' (operator '{node.op}')"
    return None


def theirs(graph: Graph, points: np.ndarray, inside: Inside, look: Look) -> dict[str, Tensor]:
    """Return ONNX Runtime's values `[N, *shape]`, in float64, that the graph has as well."""
    try:
        runtime = Runtime(graph, also=inside.names)
    except ReadError:
        # ONNX Runtime runs the file, but with some value of it as an output it does not.
        return {}
    seen = [runtime.values(point) for point in looking(points, look)]
    stacked = {
        name: torch.from_numpy(np.stack([values[name] for values in seen]).astype(np.float64))
        for name in inside.names
    }
    return {
        name: value.reshape(-1, *graph[name].shape)
        if value[0].numel() == graph[name].size
        # A value of another size than the graph's differs wherever it is compared.
        else value.new_full((len(points), *graph[name].shape), torch.inf)
        for name, value in stacked.items()
    }


def agrees(theirs: Tensor, box: Interval, precision: Precision) -> bool:
    """Return True if a value of ONNX Runtime lies in its box, or within 64·ε of the largest value.

    The latter allows for constants that were folded, which are sums that may have cancelled. A box
    or a value that is not a number counts as agreement; the outputs decide then. An infinite value
    is right where its box reaches the type's largest number.
    """
    if not theirs.numel():
        return True
    near = 128 * precision.unit * torch.nan_to_num(theirs.abs(), posinf=0.0).amax()
    inside = (box.lower - near <= theirs) & (theirs <= box.upper + near)
    undecided = torch.isnan(box.lower) | torch.isnan(box.upper) | torch.isnan(theirs)
    reach = torch.maximum(box.lower.abs(), box.upper.abs())
    overflow = torch.isinf(theirs) & (reach >= 0.99 * precision.largest)
    return bool((inside | undecided | overflow).all())
