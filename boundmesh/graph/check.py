"""Is a Graph well formed, and does it compute what its ONNX file computes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from boundmesh.errors import ReadError, UnsupportedError
from boundmesh.graph.forward import forward, tensor, values
from boundmesh.graph.graph import Graph, Node, Shape
from boundmesh.property import Box
from boundmesh.read.runtime import Runtime, inner_names
from boundmesh.rules import RULES

POINTS = 5
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def check(graph: Graph) -> None:
    """Raises UnsupportedError for an operator without rules, ValueError for a malformed graph.

    A well-formed graph is in topological order, its names exist and are unique, and every node
    has the shape that its operator's forward rule gives.
    """
    seen: dict[str, Node] = {}
    for node in graph.nodes:
        if node.name in seen:
            raise ValueError(f"two nodes are named '{node.name}'")
        if node.op != "input":
            check_node(graph, node, seen)
        elif node.name != graph.input:
            raise ValueError(f"node '{node.name}' is a second input beside '{graph.input}'")
        seen[node.name] = node
    for name in (graph.input, graph.output):
        if name not in seen:
            raise ValueError(f"the graph has no node '{name}'")


def check_node(graph: Graph, node: Node, seen: Mapping[str, Node]) -> None:
    where = f"operator '{node.op}' (node '{node.name}')"
    if node.op not in RULES:
        raise UnsupportedError(f"{where} has no rules; supported: {', '.join(sorted(RULES))}")
    for name, shape in zip(node.inputs, node.input_shapes, strict=True):
        if name not in seen:
            raise ValueError(f"{where} reads '{name}' before it is made")
        if seen[name].shape != shape:
            raise ValueError(f"{where} takes '{name}' as {shape}, which is {seen[name].shape}")
    for name in node.weights:
        if name not in graph.weights:
            raise ValueError(f"{where} needs the weight '{name}', which is not there")
    given = result_shape(node, graph.weights)
    if given != node.shape:
        raise ValueError(f"{where} gives {given} and declares {node.shape}")


def result_shape(node: Node, weights: Mapping[str, np.ndarray]) -> Shape:
    """The shape that the node's forward rule gives: it is asked for the values of 0 domains.

    That reads no weight and computes nothing. Meta tensors would say it too, but a process waits
    a second for torch to import what their first use needs.
    """
    held = [tensor(weights[name]) for name in node.weights]
    dtype = held[0].dtype if held else torch.float32
    operands = [torch.empty((0, *shape), dtype=dtype) for shape in node.input_shapes]
    with torch.no_grad():
        result = RULES[node.op].forward(node, [weight.to(dtype) for weight in held], *operands)
    return tuple(result.shape[1:])


def agrees_with_source(
    graph: Graph, box: Box, seed: int = 0, dtype: torch.dtype = torch.float32
) -> None:
    """Compares the graph's forward with ONNX Runtime at the centre and random points of `box`.

    They may differ by rounding alone. Its size is measured, not guessed: with w the largest
    difference between the graph's own forward in float32 and in float64 over all points, scaled
    to the precision ε of the network's type, an output may differ by `64·ε·max|y| + 16·w`.

    Raises ReadError for an output that is NaN or infinite, for a difference beyond rounding,
    naming the first value of the network that differs, and for a network whose outputs float32
    does not give to 1 %, if that is the `dtype` that bounds are computed in. A graph without a
    source has nothing to agree with, and passes.
    """
    if graph.source is None:
        return
    runtime = Runtime(graph)
    points = sample(graph, box, seed)
    theirs = np.stack([runtime(point) for point in points]).astype(np.float64)
    if not np.isfinite(theirs).all():
        raise ReadError("the network's output is NaN or infinite inside of the property's box")
    mine = own(graph, points, torch.float64)
    rounding = np.abs(own(graph, points, torch.float32) - mine).max()
    reach = np.abs(theirs).max()
    # Written so that NaN is refused.
    if dtype == torch.float32 and not rounding <= 0.01 * reach:
        raise ReadError(
            f"float32 is too coarse for the network: its outputs reach {reach:.3g} and are lost to "
            f"{rounding:.3g} in rounding; use float64"
        )
    worst = np.abs(mine - theirs).max(axis=1)
    if (worst <= allowed(graph, theirs, rounding)).all():
        return
    place = int(np.argmax(np.nan_to_num(worst, nan=np.inf)))
    raise ReadError(
        f"the network as read differs from ONNX Runtime by {worst[place]:.3g} where its outputs "
        f"reach {reach:.3g}{first_difference(graph, points[place])}; "
        "this is an error of boundmesh: please report the network"
    )


def allowed(graph: Graph, theirs: np.ndarray, rounding: float) -> float:
    epsilon = max(EPSILON[port.dtype] for port in (*graph.inputs, *graph.outputs))
    return 64 * epsilon * np.abs(theirs).max() + 16 * rounding * epsilon / EPSILON["float32"]


def sample(graph: Graph, box: Box, seed: int) -> np.ndarray:
    """The centre and random points of the box, flat, as numbers that the network's inputs hold."""
    lower, upper = box.lower.ravel(), box.upper.ravel()
    shares = np.random.default_rng(seed).random((POINTS, lower.size))
    shares[0] = 0.5
    points = lower + shares * (upper - lower)
    types = np.concatenate([np.full(port.size, EPSILON[port.dtype]) for port in graph.inputs])
    for dtype in ("float16", "float32"):
        rounded = points.astype(dtype).astype(np.float64)
        points = np.where(types == EPSILON[dtype], rounded, points)
    return points


class AsNeeded(Mapping[str, Tensor]):
    """A graph's weights in one dtype, each made when asked for and held by nobody."""

    def __init__(self, graph: Graph, dtype: torch.dtype) -> None:
        self._arrays, self._dtype = graph.weights, dtype

    def __getitem__(self, name: str) -> Tensor:
        return tensor(self._arrays[name]).to(self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def own(graph: Graph, points: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """The graph's flat outputs at flat points, as float64."""
    x = torch.from_numpy(points).to(dtype).reshape(-1, *graph[graph.input].shape)
    with torch.no_grad():
        y = forward(graph, AsNeeded(graph, dtype), x)
    return y.reshape(len(points), -1).double().numpy()


def first_difference(graph: Graph, point: np.ndarray) -> str:
    """Where the graph and ONNX Runtime part, in words; empty where no inner value shows it."""
    names = inner_names(graph)
    theirs = Runtime(graph, also=names).values(point)
    exact, short = (
        values(graph, AsNeeded(graph, dtype), torch.from_numpy(point)[None].to(dtype))
        for dtype in (torch.float64, torch.float32)
    )
    for name in names:
        expected = theirs[name].astype(np.float64).ravel()
        mine = exact[name].numpy().ravel()
        rounding = np.abs(short[name].double().numpy().ravel() - mine).max()
        if not np.abs(mine - expected).max() <= allowed(graph, expected, rounding):
            return f", first at '{name}' (operator '{graph[name].op}')"
    return ""
