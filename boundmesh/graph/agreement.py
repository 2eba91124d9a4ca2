"""Does a Graph compute what ONNX Runtime computes of its file?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from boundmesh.errors import ReadError
from boundmesh.graph.forward import AsNeeded, forward, multiplications
from boundmesh.graph.graph import Graph
from boundmesh.graph.inner import first_difference
from boundmesh.graph.points import spread
from boundmesh.graph.rounding import PRECISIONS, Precision, boxes
from boundmesh.property import Ball, Box
from boundmesh.read.runtime import Runtime, inside
from boundmesh.rules import Interval

# Multiplications that one forward pass of all points should take.
WORK = 10**8
# Up to so many multiplications of a pass of one point, rounding is bounded, not measured alone.
THOROUGH = 3 * 10**8
# The share of the largest output above which rounding counts as too much.
COARSE = 0.01


def agrees_with_source(
    graph: Graph,
    regions: Sequence[Box | Ball],
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Compares the graph with ONNX Runtime at points of all `regions`: centres, corners, random.

    Every value inside that both have must lie in its box of `rounding.boxes`, made from the values
    that ONNX Runtime has before it; every output in the box that is made from the input. Where a
    network is so deep that the box of an output is wider than 2 % of the largest one, it may differ
    by `64·ε·max|y| + 16·w` instead, with w the largest difference between the graph's forward in
    float32 and in float64. A network of more than 3·10⁸ multiplications is held to that alone.

    Raises ReadError for an output that is NaN or infinite, for a difference beyond rounding,
    naming the first value of the network that differs, and for a network whose outputs float32
    does not give to 1 %, if that is the `dtype` that bounds are computed in. A graph without a
    source has nothing to agree with, and passes.
    """
    if graph.source is None:
        return
    work = multiplications(graph)
    points = spread(regions, graph.inputs, WORK // work, seed)
    if not len(points):
        return
    runtime = Runtime(graph)
    theirs = np.stack([runtime(point) for point in points]).astype(np.float64)
    if not np.isfinite(theirs).all():
        raise ReadError("the network's output is NaN or infinite inside of the property's region")
    mine = own(graph, points, torch.float64)
    rounding = float(np.abs(own(graph, points, torch.float32) - mine).max(initial=0.0))
    reach = float(np.abs(theirs).max(initial=0.0))
    # Written so that NaN is refused.
    if dtype == torch.float32 and not rounding <= COARSE * reach:
        raise ReadError(
            f"float32 is too coarse for the network: its outputs reach {reach:.3g} and are lost to "
            f"{rounding:.3g} in rounding; use float64"
        )
    facts = inside(graph)
    precision = PRECISIONS[facts.narrowest]
    same = np.abs(mine - theirs) <= measured(reach, rounding, precision)
    if work <= THOROUGH:
        same = bounded(graph, points, theirs, same, precision)
    agreeing = same.all(axis=1)
    if agreeing.all() and work > THOROUGH:
        return
    where = first_difference(graph, points if agreeing.all() else points[~agreeing][:1], facts)
    if where is None and agreeing.all():
        return
    raise ReadError(
        f"the network as read differs from ONNX Runtime{where or ''}: its outputs differ by "
        f"{np.abs(mine - theirs).max():.3g} and reach {reach:.3g}; "
        "this is an error of boundmesh: please report the network"
    )


def measured(reach: float, rounding: float, precision: Precision) -> float:
    """`64·ε·max|y| + 16·w`, w measured in float32 and scaled to the network's type."""
    epsilon = 2 * precision.unit
    return 64 * epsilon * reach + 16 * rounding * epsilon * 2.0**23


def bounded(
    graph: Graph,
    points: np.ndarray,
    theirs: np.ndarray,
    otherwise: np.ndarray,
    precision: Precision,
) -> np.ndarray:
    """Where `[N, outputs]` ONNX Runtime's output is one that rounding can make of the input.

    Where the box is too wide to decide or not a number, it is what `otherwise` has.
    """
    box = output_box(graph, points, precision)
    lower, upper = (
        end.expand(len(points), *end.shape[1:]).reshape(theirs.shape).numpy()
        for end in (box.lower, box.upper)
    )
    decisive = upper - lower <= 2 * COARSE * np.abs(theirs).max(initial=0.0)
    return np.where(decisive, (lower <= theirs) & (theirs <= upper), otherwise)


def output_box(graph: Graph, points: np.ndarray, precision: Precision) -> Interval:
    """The box of the outputs, made from the input."""
    x = torch.from_numpy(points)
    found = Interval(x, x)
    with torch.no_grad():
        for node, box in boxes(graph, AsNeeded(graph, torch.float64), x, precision):
            if node.name == graph.output:
                found = box
    return found


def own(graph: Graph, points: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """The graph's flat outputs at flat points, as float64."""
    x = torch.from_numpy(points).to(dtype).reshape(-1, *graph[graph.input].shape)
    with torch.no_grad():
        y = forward(graph, AsNeeded(graph, dtype), x)
    return y.reshape(len(points), -1).double().numpy()
