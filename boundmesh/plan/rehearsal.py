"""Runs a bound method on shapes alone, and returns the memory and the work that it would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.kernels.imagined_gpu import ImaginedGPU, imagining
from boundmesh.operators.rounding import Rounding
from boundmesh.plan.layout import SampledLayout
from boundmesh.plan.machine import Machine
from boundmesh.plan.meter import RECORDED, Meter
from boundmesh.plan.neurons import CountedProgram, Unstable
from boundmesh.plan.terms import Term
from boundmesh.plan.work import Work

LayoutOf = Callable[[torch.device, Callable[[int], None]], DeviceLayout]
"""A function that creates a layout on a device; it reports the bytes that a rank receives."""

META = torch.device("meta")
# One iteration of an ascent is like another, in memory and in work.
ITERATIONS = 1
ITERATION = "iteration"


@dataclass(frozen=True)
class Bounding:
    """What is bounded, and how.

    graph          the network; its weights need no numbers
    method         a name of METHODS
    rows           the number of rows of the output
    domains        the number of regions that are bounded together
    iterations     the steps of an ascent
    tile_elements  the most numbers in a coefficient tensor of a tile
    dtype          the type of weights and rows
    trust          true if no rounding is counted
    """

    graph: Graph
    method: str
    rows: int
    domains: int = 1
    iterations: int = 20
    tile_elements: int = 2**23
    dtype: torch.dtype = torch.float32
    trust: bool = False


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal found.

    peak     the peak of memory in bytes
    terms    the bytes of each term at the peak
    stages   the work of each stage; that of an iteration is counted `iterations` times
    """

    peak: float
    terms: Mapping[Term, float]
    stages: Mapping[str, Work]


def rehearse(
    bounding: Bounding,
    unstable: Unstable,
    machine: Machine,
    layout_of: LayoutOf,
    tiles: int = 2,
) -> Rehearsed:
    """Run a method on shapes, with the weights and tiles of a layout.

    `tiles` tiles of every start node are run, and counted for all.
    """
    meter = Meter(machine)

    def announce(start: str, first: bool) -> None:
        meter.expected = unstable.rows(start) if first else unstable.slopes(start)
        meter.stage = f"from {start}"

    graph = bounding.graph
    program = CountedProgram(graph, graph.output, announce)
    # Numbers of roundings and signs depend on weights, which are read before numbers are gone.
    _ = program.lengths, program.nonnegative
    gpu = ImaginedGPU(machine.hopper, meter.kernel, meter.beside) if machine.gpu else None
    with imagining(gpu), meter:
        inner = layout_of(META, meter.received)
        if not machine.gpu and isinstance(inner, OneDevice):
            # In host memory the network's own arrays are the weights: all are there from the start.
            for name in graph.weights:
                _ = inner.weights[name]
        layout = SampledLayout(inner, meter, unstable, tiles)
        region, rows = _region(bounding), _rows(bounding)
        rounding = None if bounding.trust else _rounding(bounding.dtype, machine)
        problem = Problem(program, region, layout, bounding.tile_elements, rounding=rounding)
        # Iterations that can be recorded run on a stream of their own.
        stream = RECORDED if layout.recordable else ""
        METHODS[bounding.method].bound(problem, rows, _options(bounding, meter, stream))
    return Rehearsed(meter.peak, meter.at_peak, meter.work)


def _region(bounding: Bounding) -> BoxRegion:
    shape = (bounding.domains, *bounding.graph[bounding.graph.input].shape)
    ends = (torch.empty(shape, dtype=bounding.dtype, device=META) for _ in range(2))
    return BoxRegion(*ends)


def _rows(bounding: Bounding) -> DenseRows:
    shape = (1, bounding.rows, *bounding.graph[bounding.graph.output].shape)
    return DenseRows(torch.empty(shape, dtype=bounding.dtype, device=META))


def _rounding(dtype: torch.dtype, machine: Machine) -> Rounding:
    kernels = machine.gpu and dtype == torch.float32
    return Rounding.of(dtype, "real", blocks=kernels and machine.hopper, kernels=kernels)


def _options(bounding: Bounding, meter: Meter, stream: str) -> MethodOptions:
    passed = [0]

    def weigh(best: Tensor) -> Tensor:
        """Begin an iteration."""
        passed[0] += 1
        meter.stream = stream
        meter.stage = f"{ITERATION} {passed[0]}"
        return torch.ones_like(best)

    return MethodOptions(min(bounding.iterations, ITERATIONS), weigh=weigh)
