"""Are bounds on a mesh those of one device? Bit for bit under gather; under exchange as well where
products give equal bits for fewer columns, else to rounding.

    python benchmarks/mesh_bits.py --shards 2
    python benchmarks/mesh_bits.py --shards 2 --network net.onnx --spec property.vnnlib
    python benchmarks/mesh_bits.py --shards 2 --hidden 4096,4096

Every rank bounds the network on the mesh and then alone; the line says what differed most.
Without a network, the MLPs 784-256×2-10, ×4 and ×6 and one of 1300 and 1100 neurons.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from crown_mlp import EPSILON
from measure import Place, parser, place, rounding_of, start
from networks import mlp
from torch import Tensor

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.ibp import interval_rows
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.open import open_layout
from boundmesh.operators.interval import Interval
from boundmesh.property import Box
from boundmesh.read import vnnlib
from boundmesh.read.onnx import load

SIZES = ((256, 256), (256,) * 4, (256,) * 6, (1300, 1100))


def networks(options: argparse.Namespace) -> Iterator[tuple[str, Graph, Box]]:
    if options.network:
        graph = load(options.network)
        region = vnnlib.load(options.spec, graph.inputs, graph.outputs).cases[0].region
        assert isinstance(region, Box), "the property's region is a box"
        yield options.network, graph, region
        return
    for hidden in options.hidden or SIZES:
        graph, x = mlp(784, *hidden, 10)
        yield f"mlp {'-'.join(map(str, hidden))}", graph, Box.around(x, EPSILON, clip=(0, 1))


def main(options: argparse.Namespace) -> None:
    with place(options) as at:
        for name, graph, box in networks(options):
            compare(at, name, graph, box, options)


def compare(at: Place, name: str, graph: Graph, box: Box, options: argparse.Namespace) -> None:
    alone = open_layout(graph, device=at.device)
    region = region_tensors([box], graph[graph.input].shape, alone.dtype, at.device)
    program, rounding = Program(graph, graph.output), rounding_of(graph, alone, options)
    problem = Problem(program, region, alone, options.tile_elements, rounding=rounding)
    for schedule in options.schedules.split(","):
        layout = open_layout(graph, at.mesh, at.device, schedule=schedule)
        line: dict[str, object] = {"benchmark": "mesh_bits", "network": name, "schedule": schedule}
        for method in options.methods.split(","):
            expected = bounds(problem, method)
            found = bounds(replace(problem, layout=layout), method)
            worst = max(map(difference, found, expected))
            (line[method],) = at.worst(worst)
        if at.first:
            line |= {"shards": options.shards, "torch": torch.__version__, "device": str(at.device)}
            print(json.dumps(line), flush=True)


def bounds(problem: Problem, method: str) -> list[Tensor]:
    """Bounds of the outputs and of the start nodes."""
    output = problem.program.graph[problem.program.target]
    rows = torch.eye(output.size, device=problem.layout.device).reshape(1, -1, *output.shape)
    if method == "ibp":
        return [interval_rows(problem, DenseRows(rows))]
    if method == "alpha-crown":
        found = alpha_crown(problem, DenseRows(rows), StepSchedule(iterations=5))
        return [found.lower, *ends(found.bounds)]
    with torch.no_grad():
        lower, start_bounds = crown(problem, DenseRows(rows), by_rows=method == "crown")
    return [lower, *ends(start_bounds)]


def sizes(said: str) -> tuple[int, ...]:
    return tuple(map(int, said.split(",")))


def ends(boxes: Mapping[str, Interval]) -> list[Tensor]:
    return [end for box in boxes.values() for end in (box.lower, box.upper)]


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference relative to the largest bound; 0 only for equal bits."""
    if torch.equal(found, expected):
        return 0.0
    scale = expected.abs().amax().clamp(min=float(np.finfo(np.float32).tiny))
    return max(float((found - expected).abs().amax() / scale), float(np.finfo(np.float64).tiny))


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--network", help="an ONNX file, with --spec")
    options.add_argument("--spec", help="a VNN-LIB file")
    options.add_argument("--hidden", type=sizes, action="append", help="of an MLP, as 256,256")
    options.add_argument("--methods", default="ibp,crown-ibp,crown,alpha-crown")
    options.add_argument("--schedules", default="gather,exchange")
    start(main, options.parse_args())
