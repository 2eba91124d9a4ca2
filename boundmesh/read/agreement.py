"""Checks that a Graph computes the same outputs as ONNX Runtime does with the graph's file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from boundmesh.errors import ReadError
from boundmesh.graph.forward import AsNeeded, forward, multiplications
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES, Interval
from boundmesh.property import Ball, Box
from boundmesh.read.inner_values import Look, first_difference, looking, no_look
from boundmesh.read.points import sample_points
from boundmesh.read.runtime import Inside, Runtime, inside
from boundmesh.read.value_boxes import PRECISIONS, Precision, boxes

# Multiplications that one forward pass of all points should take.
WORK = 10**8
# Rounding is bounded in networks of up to so many multiplications and weights, which takes up to
# two seconds; in larger ones it is measured first.
MULTIPLICATIONS, WEIGHTS = 3 * 10**8, 2 * 10**7
# Values inside that are compared, of all points together; those of one point always are. More would
# take seconds, and a node that is read wrongly shows at every point.
VALUES = 10**6
# The share of the largest output above which rounding counts as too much.
COARSE = 0.01
# What may be lost in any network: outputs this small are lost to underflow, which bounds count.
UNDERFLOW = 1e-30
REPORT = "this is an error of boundmesh: please report the network"


def agrees_with_source(
    graph: Graph,
    regions: Sequence[Box | Ball],
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    look: Look = no_look,
) -> None:
    """Compare the graph with ONNX Runtime at points of all `regions`: centres, corners, random.

    A value inside the network that both compute must lie in its box (`value_boxes.boxes`), which is
    made from ONNX Runtime's values before it. An output must lie in the box that is made from the
    input. Boxes are as wide as the rounding of the values that are summed, so that a variance of
    nearly equal numbers leaves open what a normalisation divides by. Where a box is not a number,
    an output may differ by `64·ε·max|y| + 16·w`, where w is the largest difference between the
    graph's forward pass in float32 and in float64.

    In a large network, boxes are made only if outputs differ by more than that, and only from the
    values before. There outputs must not differ by more than 1 % of the largest one.

    Raises ReadError for an output that is NaN or infinite in ONNX Runtime or in the graph. Raises
    it for a difference beyond rounding, and names the first value that differs. Raises it for a
    network whose outputs float32 gives with errors above 1 %, if bounds are computed in that
    `dtype`. A graph without a source passes without a comparison. One that was made of several
    networks is compared part by part. `look` is called between points and between nodes, and may
    raise.
    """
    points = sample_points(regions, graph.inputs, WORK // multiplications(graph), seed)
    if not len(points):
        return
    if not graph.parts:
        _compare(graph, points, dtype, look)
    for part in graph.parts:
        _compare(part.graph, points[:, list(part.places)], dtype, look)


def _compare(graph: Graph, points: np.ndarray, dtype: torch.dtype, look: Look) -> None:
    if graph.source is None:
        return
    runtime = Runtime(graph)
    expected = np.stack([runtime(point) for point in looking(points, look)]).astype(np.float64)
    if not np.isfinite(expected).all():
        raise ReadError("the network's output is NaN or infinite inside of the property's region")
    computed = own(graph, points, torch.float64)
    facts = inside(graph)
    if computed.shape != expected.shape:
        first = first_difference(graph, points[:1], facts, look) or ""
        raise ReadError(
            f"the network as read has {computed.shape[1]} outputs and ONNX Runtime's "
            f"{expected.shape[1]}{first}; {REPORT}"
        )
    if not np.isfinite(computed).all():
        raise ReadError(
            "the network has no value at a point of the property's region: its formula gives NaN "
            "or infinity there, as 0/0 does, though ONNX Runtime gives a number; choose a region "
            "without such points"
        )
    rounding = np.abs(own(graph, points, torch.float32) - computed).max(axis=1, initial=0.0)
    if dtype == torch.float32:
        refuse_coarse(graph, expected, rounding)
    look()
    where = difference(graph, points, computed, expected, float(rounding.max()), facts, look)
    if where is not None:
        raise ReadError(
            f"the network as read differs from ONNX Runtime{where}: its outputs differ by "
            f"{np.abs(computed - expected).max(initial=0.0):.3g} and reach "
            f"{np.abs(expected).max(initial=0.0):.3g}; {REPORT}"
        )


def refuse_coarse(graph: Graph, expected: np.ndarray, rounding: np.ndarray) -> None:
    """Raise ReadError where float32 loses more than 1 % of the largest output at some point.

    In a network with jumps it must do so at half of the points, since any rounding may cross a
    jump.
    """
    jumps = any(node.op in RULES and RULES[node.op].jumps for node in graph.nodes)
    lost = float(np.median(rounding) if jumps else rounding.max())
    reach = float(np.abs(expected).max(initial=0.0))
    # Written so that NaN is refused.
    if not lost <= max(COARSE * reach, UNDERFLOW):
        raise ReadError(
            f"float32 is too coarse for the network: its outputs reach {reach:.3g} and are lost to "
            f"{lost:.3g} in rounding; use float64"
        )


def difference(
    graph: Graph,
    points: np.ndarray,
    computed: np.ndarray,
    expected: np.ndarray,
    rounding: float,
    facts: Inside,
    look: Look = no_look,
) -> str | None:
    """Return None if the graph differs from ONNX Runtime by no more than rounding.

    Otherwise the result tells in words where it differs; the words may be empty.
    """
    precision = PRECISIONS[facts.narrowest]
    away, reach = np.abs(computed - expected), float(np.abs(expected).max(initial=0.0))
    near = away <= measured(reach, rounding, precision)
    if multiplications(graph) <= MULTIPLICATIONS and weights_of(graph) <= WEIGHTS:
        right = in_boxes(graph, points, expected, near, precision, look).all(axis=1)
        most = max(1, VALUES // sum(node.size for node in graph.nodes))
        compared = points[:most] if right.all() else points[~right][:1]
    else:
        right = (away <= COARSE * reach).all(axis=1)
        compared = points[~near.all(axis=1)][:1]
    where = first_difference(graph, compared, facts, look) if len(compared) else None
    return "" if where is None and not right.all() else where


def weights_of(graph: Graph) -> int:
    """Return how many numbers the graph's weights hold."""
    return sum(array.size for array in graph.weights.values())


def measured(reach: float, rounding: float, precision: Precision) -> float:
    """Return `64·ε·max|y| + 16·w`; w is measured in float32 and scaled to the network's type."""
    epsilon = 2 * precision.unit
    return 64 * epsilon * reach + 16 * rounding * epsilon * 2.0**23


def in_boxes(
    graph: Graph,
    points: np.ndarray,
    expected: np.ndarray,
    near: np.ndarray,
    precision: Precision,
    look: Look = no_look,
) -> np.ndarray:
    """Return the mask `[N, outputs]` of ONNX Runtime's outputs that rounding can explain.

    Where the box of an output is not a number, the mask is that of `near`.
    """
    box = output_box(graph, points, precision, look)
    lower, upper = (
        end.expand(len(points), *end.shape[1:]).reshape(expected.shape).numpy()
        for end in (box.lower, box.upper)
    )
    unknown = np.isnan(lower) | np.isnan(upper)
    return np.where(unknown, near, (lower <= expected) & (expected <= upper))


def output_box(
    graph: Graph, points: np.ndarray, precision: Precision, look: Look = no_look
) -> Interval:
    """Compute the box of the outputs from the input alone."""
    x = torch.from_numpy(points)
    output = Interval(x, x)
    with torch.no_grad():
        found_boxes = boxes(graph, AsNeeded(graph, torch.float64), x, precision)
        for node, box in looking(found_boxes, look):
            if node.name == graph.output:
                output = box
    return output


def own(graph: Graph, points: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Compute the graph's flat outputs at flat points in `dtype`; return them as float64."""
    x = torch.from_numpy(points).to(dtype).reshape(-1, *graph[graph.input].shape)
    with torch.no_grad():
        y = forward(graph, AsNeeded(graph, dtype), x)
    return y.reshape(len(points), -1).double().numpy()
