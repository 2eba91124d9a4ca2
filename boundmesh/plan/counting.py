"""Counts unstable neurons by intervals, which is cheap and runs on the host."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from boundmesh.bounds.sweep.intervals import Intervals
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.graph.graph import Graph
from boundmesh.plan.neurons import Unstable
from boundmesh.property import Ball, Box


@torch.no_grad()
def count_unstable(graph: Graph, regions: Sequence[Box | Ball]) -> Unstable:
    """Return the shares of neurons that are unstable in some region under intervals (IBP).

    CROWN's bounds are nowhere wider for the neurons that it bounds in earlier layers, as a rule,
    so a run has about as many unstable neurons, or fewer.
    """
    program, layout = Program(graph, graph.output), OneDevice(graph)
    shape = graph[graph.input].shape
    region = region_tensors([*regions], shape, layout.dtype, layout.device)
    intervals = Intervals(program, layout, region, program.starts)
    intervals.advance(program.nodes)
    shares = {
        start: float(program.unstable(start, intervals.known).any(0).double().mean())
        for start in program.starts
    }
    return Unstable(1.0, shares, source="counted by IBP")
