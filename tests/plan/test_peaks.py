"""A plan's peak is that of the run, counted by torch's profiler on small networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import Rounding
from boundmesh.plan.machine import CPU
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.planning import plan_bounds
from boundmesh.plan.rehearsal import Bounding
from tests import networks

ITERATIONS = 1
TILE = 2**18


def conv_net(skip: bool) -> Graph:
    """Two convolutions, with a sum around the second one if `skip` is true, and a linear layer."""
    random, build = np.random.default_rng(0), Builder()

    def convolution(x: Node, channels: int, stride: int) -> Node:
        weight = random.normal(0, 0.2, (channels, x.shape[1], 3, 3)).astype(np.float32)
        frame = {"stride": (stride,) * 2, "dilation": (1, 1), "padding": ((1, 1),) * 2}
        return build.add("conv", x, weights=(weight, weight[:, 0, 0, 0]), groups=1, **frame)

    x = build.input((1, 3, 10, 10))
    x = build.add("relu", convolution(x, 12, 1))
    y = convolution(x, 12, 1 if skip else 2)
    x = build.add("relu", build.add("add", x, y) if skip else y)
    x = build.reshape(x, (1, x.size))
    weight = random.normal(0, 0.1, (5, x.size)).astype(np.float32)
    output = build.add("linear", x, weights=(weight, weight[:, 0]))
    ports = (Port("x", (1, 3, 10, 10)),), (Port(output.name, output.shape),)
    return build.graph(output, *ports)


NETWORKS: Mapping[str, Graph] = {
    "mlp": networks.mlp(40, 256, 192, 128, 5),
    "tanh": networks.mlp(40, 256, 192, 4, activation="tanh"),
    "conv": conv_net(skip=False),
    "resnet": conv_net(skip=True),
}
# Networks whose rows are windows. Slopes of a pool climb in dense rows.
IN_WINDOWS: Mapping[str, Graph] = {
    "windows": networks.maps(0),
    "pools": networks.pooled_maps(0),
    "growing maps": networks.encoder_decoder(0),
}


@dataclass(frozen=True)
class NotingProgram(Program):
    """A program that notes the share of unstable neurons at the first count of each start node."""

    shares: dict[str, float] = field(default_factory=dict)

    def unstable(self, start: str, boxes: Mapping[str, Interval]) -> Tensor:
        found = super().unstable(start, boxes)
        self.shares.setdefault(start, share_of(found))
        return found


def share_of(mask: Tensor) -> float:
    return float(mask.any(0).double().mean())


def in_float32(graph: Graph) -> Graph:
    weights = {name: array.astype(np.float32) for name, array in graph.weights.items()}
    return replace(graph, weights=weights)


def problem(graph: Graph, program: Program | None = None, tile_elements: int = TILE) -> Problem:
    torch.manual_seed(0)
    x = torch.rand(1, *graph[graph.input].shape)
    return Problem(
        program or Program(graph, graph.output),
        BoxRegion(x - 0.1, x + 0.1),
        OneDevice(graph),
        tile_elements,
        rounding=Rounding.of(torch.float32, "real"),
    )


def unstable_of(graph: Graph) -> Unstable:
    """Count unstable neurons as CROWN does, and as α-CROWN does after it."""
    program = NotingProgram(graph, graph.output)
    with torch.no_grad():
        bounds = intermediate_bounds(problem(graph, program), by_rows=True).bounds
    plain = Program(graph, graph.output)
    crown = {name: share_of(plain.unstable(name, bounds)) for name in plain.starts}
    return Unstable(1.0, crown | program.shares, crown)


def counted(graph: Graph, method: str) -> int:
    """Return the peak in bytes of the CPU allocator while the method runs, and the weights."""

    def run() -> None:
        output = graph[graph.output]
        rows = torch.eye(output.size).reshape(1, output.size, *output.shape)
        METHODS[method].bound(problem(graph), DenseRows(rows), MethodOptions(ITERATIONS))

    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    assert found.profiler is not None and found.profiler.kineto_results is not None
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    # The run reads the network's own arrays, which are no allocations of torch.
    return peak + sum(array.nbytes for array in graph.weights.values())


@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_predicted_peak_is_within_a_tenth_of_the_counted_one(name: str, method: str) -> None:
    compare(NETWORKS[name], method)


@pytest.mark.parametrize(
    ("name", "method"), [*((each, "crown") for each in IN_WINDOWS), ("windows", "alpha-crown")]
)
def test_the_peak_of_windows_is_within_a_tenth_of_the_counted_one(name: str, method: str) -> None:
    compare(IN_WINDOWS[name], method)


def compare(network: Graph, method: str) -> None:
    graph = in_float32(network)
    bounding = Bounding(
        graph, method, graph[graph.output].size, iterations=ITERATIONS, tile_elements=TILE
    )
    (line,) = plan_bounds(bounding, unstable_of(graph), CPU).lines
    assert line.peak == pytest.approx(counted(graph, method), rel=0.1)
