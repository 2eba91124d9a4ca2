"""The backward pass of a network as a Graph.

Its input is flat: the coefficients v of the outputs, then the slopes d of all nonlinear nodes. Its
output is `vᵀ J(d)`, flat, where J(d) is the product of the layers with slopes d in place of the
nonlinear operators (arXiv 2210.07394 draws the same graph).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from boundmesh.errors import BoundmeshError, UnsupportedError
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators import RULES
from boundmesh.operators.derivatives import SLOPES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.transposes import (
    absolute_sum,
    cut,
    plus,
    product,
    reshaped,
    transposed,
)


@dataclass(frozen=True)
class Slopes:
    """The ranges of the slopes of all nonlinear nodes, flat float64 arrays, one after the other.

    places  where the slopes of a node to one of its inputs stand, by node name and input
    """

    lower: np.ndarray
    upper: np.ndarray
    places: Mapping[tuple[str, int], tuple[int, int]]


def slopes_of(graph: Graph, bounds: Mapping[str, Interval]) -> Slopes:
    """Compute the ranges of slopes from bounds `[1, *shape]` of all values that are read.

    Raises UnsupportedError for an operator whose slopes have no rule, and BoundmeshError where a
    slope is unbounded.
    """
    lower, upper, places, count = [np.empty(0)], [np.empty(0)], {}, 0
    for node in graph.ancestors(graph.output):
        if node.is_input or RULES[node.op].affine:
            continue
        if node.op not in SLOPES:
            raise UnsupportedError(
                f"operator '{node.op}' (node '{node.name}') has no Jacobian here; supported are "
                f"affine operators and {', '.join(sorted(SLOPES))}"
            )
        boxes = tuple(
            Interval(bounds[name].lower.double().cpu(), bounds[name].upper.double().cpu())
            for name in node.inputs
        )
        for place, slopes in enumerate(SLOPES[node.op](node, boxes)):
            if not bool(
                (slopes.lower <= slopes.upper).all()
                and (slopes.upper - slopes.lower).isfinite().all()
            ):
                raise BoundmeshError(
                    f"the slope of '{node.op}' (node '{node.name}') is not bounded on the region"
                )
            shape = node.input_shapes[place]
            ends = (torch.broadcast_to(end, (1, *shape)) for end in (slopes.lower, slopes.upper))
            for side, end in zip((lower, upper), ends, strict=True):
                side.append(end.flatten().numpy())
            places[node.name, place] = (count, count + math.prod(shape))
            count += math.prod(shape)
    return Slopes(np.concatenate(lower), np.concatenate(upper), places)


def backward_graph(graph: Graph, slopes: Slopes, *, absolute: bool = False) -> Graph:
    """Build the backward pass of a graph; with `absolute` its output is `Σⱼ |(vᵀJ)ⱼ|`."""
    build, output = Builder(), graph[graph.output]
    size = output.size + len(slopes.lower)
    x = build.input((size,))
    v = cut(build, x, ((0, output.size, 1),))
    gradients: dict[str, Node] = {output.name: reshaped(build, v, output.shape)}
    for node in reversed(graph.ancestors(graph.output)):
        if node.is_input or node.name not in gradients:
            continue
        g = gradients.pop(node.name)
        if RULES[node.op].affine:
            arrays = [graph.weights[name] for name in node.weights]
            pulled = transposed(build, node, arrays, g)
        else:
            pulled = tuple(
                product(build, node, g, _slopes(build, x, output.size, slopes, node, place))
                for place in range(len(node.inputs))
            )
        for name, gradient in zip(node.inputs, pulled, strict=True):
            known = gradients.get(name)
            gradients[name] = gradient if known is None else plus(build, known, gradient)
    inputs = graph[graph.input].size
    last = gradients.get(graph.input)
    if last is None:
        raise BoundmeshError("the outputs of the network do not depend on its input")
    last = reshaped(build, last, (inputs,))
    if absolute:
        last = absolute_sum(build, last)
    ports = (Port("v", (size,), "float64"),), (Port("J", last.shape, "float64"),)
    return build.graph(last, *ports)


def _slopes(build: Builder, x: Node, begin: int, slopes: Slopes, node: Node, place: int) -> Node:
    """Return the slopes of a node to one of its inputs, in the shape of that input."""
    low, high = slopes.places[node.name, place]
    part = cut(build, x, ((begin + low, begin + high, 1),))
    return reshaped(build, part, node.input_shapes[place])
