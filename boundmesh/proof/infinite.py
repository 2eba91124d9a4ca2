"""Finds the first value of a network whose interval bounds are infinite on a region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from boundmesh.bounds.sweep.intervals import Intervals
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.open import layout_for
from boundmesh.property import Ball, Box
from boundmesh.settings import Settings


@dataclass(frozen=True)
class Infinite:
    """A value without finite interval bounds.

    node      its name
    op        its operator in the graph
    operands  the least and the largest number of each value that it reads
    """

    node: str
    op: str
    operands: tuple[tuple[float, float], ...]


@torch.no_grad()
def first_infinite(graph: Graph, region: Box | Ball) -> Infinite | None:
    """Return the first node whose interval on the region is not finite; None where all are.

    Its operator is not defined everywhere on the interval (1/x around 0), or grows beyond the
    largest number. A search can still decide, as its regions are smaller.
    """
    layout = layout_for(graph, Settings(device="cpu", dtype="float64"))
    program = Program(graph, graph.output)
    domain = region_tensors([region], graph[graph.input].shape, layout.dtype, layout.device)
    intervals = Intervals(program, layout, domain, [program.target])
    reach: dict[str, tuple[float, float]] = {}
    note(reach, graph.input, intervals)
    for node in program.nodes:
        if node.is_input:
            continue
        intervals.advance([node])
        low, high = note(reach, node.name, intervals)
        if not (math.isfinite(low) and math.isfinite(high)):
            return Infinite(node.name, node.op, tuple(reach[name] for name in node.inputs))
    return None


def note(reach: dict[str, tuple[float, float]], name: str, held: Intervals) -> tuple[float, float]:
    """Enter the least and the largest number of a value; NaN where one of its bounds is."""
    box = held.known[name]
    reach[name] = float(box.lower.min()), float(box.upper.max())
    return reach[name]
