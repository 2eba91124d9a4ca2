"""CROWN and α-CROWN on convolutional networks of 57 000 to 290 000 neurons, and on ResNet-18.

python benchmarks/conv.py --network vgg --method crown
python benchmarks/conv.py --network small large vgg --method crown alpha-crown
python benchmarks/conv.py --network resnet18 --runs 1 --progress --tile-elements 67108864

Each mode runs in a process of its own and prints one JSON line: time, peak of memory, the sum and a
digest of the bounds, and how many neurons are unstable. `--progress` shows the start nodes on
standard error as they are bounded. ResNet-18 with one run is not warmed up.

Other tools count no rounding; figures beside theirs need `--rounding trust`. Neurons that are
unstable: small 924 (955 with rounding counted), large 3539 (5062), vgg 2832 (3371).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from fractions import Fraction

import torch
from conv_networks import CASES, conv_network
from measure import parser, place, report, rounding_of, start
from progress import Clock, OutOfTime, WatchedProblem

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.crown import crown, unstable_neurons
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.operators.interval import Interval
from boundmesh.property import Box


def main(options: argparse.Namespace) -> None:
    (name,), (method,) = options.network, options.method
    with place(options) as at, torch.no_grad():
        graph, x = conv_network(name)
        layout = at.layout(graph, options)
        if options.dense:
            type(layout).windows = False
        radius = Fraction(options.radius) if options.radius else CASES[name].radius
        clock = Clock(options.seconds, shown=options.progress and at.first)
        problem = problem_of(graph, Box.around(x, radius), layout, options, clock)
        rows = DenseRows(both_signs(problem, at.device))

        def bound() -> list[torch.Tensor]:
            clock.began = time.perf_counter()
            if method == "crown":
                lower, bounds = crown(problem, rows)
                clock.enter("")
                if options.progress and at.first:
                    print(json.dumps(counted(problem, bounds)), file=sys.stderr, flush=True)
                return [lower, *(end for box in bounds.values() for end in (box.lower, box.upper))]
            schedule = StepSchedule(options.iterations, intermediate=not options.final)
            return [alpha_crown(problem, rows, schedule).lower]

        facts: dict[str, object] = {"network": name, "method": method, "radius": str(radius)}
        once = name == "resnet18" and options.runs == 1
        if not options.final and not once:
            facts |= unstable(problem, rows)
        if method != "crown":
            facts["iterations"] = options.iterations
        # Counting has warmed CROWN up.
        cold = once or not (options.final or method != "crown")
        try:
            report(at, "conv", options, bound, (lambda: None) if cold else None, **facts)
        except OutOfTime:
            clock.enter("")
            if at.first:
                print(json.dumps({**facts, "seconds": options.seconds, "end": "out of time"}))


def problem_of(
    graph: Graph, box: Box, layout: DeviceLayout, options: argparse.Namespace, clock: Clock
) -> Problem:
    region = region_tensors([box], graph[graph.input].shape, layout.dtype, layout.device)
    rounding, program = rounding_of(graph, layout, options), Program(graph, graph.output)
    return WatchedProblem(
        program, region, layout, options.tile_elements, clock.check, rounding, clock
    )


def both_signs(problem: Problem, device: torch.device) -> torch.Tensor:
    """Rows for the lower and upper bounds of all outputs."""
    program = problem.program
    shape, size = program.graph[program.target].shape, program.graph[program.target].size
    eye = torch.eye(size, device=device).reshape(1, size, *shape)
    return torch.cat([eye, -eye], dim=1)


def unstable(problem: Problem, rows: DenseRows) -> dict[str, object]:
    """Count the ReLUs, and those that are unstable under CROWN's bounds."""
    return counted(problem, crown(problem, rows)[1])


def counted(problem: Problem, bounds: Mapping[str, Interval]) -> dict[str, object]:
    """Count the neurons that nonlinear operators read, and those that are unstable."""
    program = problem.program
    counts = [len(unstable_neurons(program, name, bounds)) for name in program.starts]
    relus = sum(program.graph[name].size for name in program.starts)
    return {"relus": relus, "unstable": sum(counts), "unstable_by_layer": counts}


def each_alone(options: argparse.Namespace) -> int:
    """Run every network and method in a process of its own."""
    codes = []
    given = sys.argv[1:]
    for name in options.network:
        for method in options.method:
            alone = [*given, "--network", name, "--method", method]
            codes.append(subprocess.run([sys.executable, __file__, *alone]).returncode)
    return max(codes)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--network", nargs="+", choices=[*CASES], default=["small"])
    options.add_argument("--method", nargs="+", choices=["crown", "alpha-crown"], default=["crown"])
    options.add_argument("--iterations", type=int, default=10)
    options.add_argument("--radius", help="of the box; by default 1/500, or 1/1000 for vgg")
    options.add_argument("--progress", action="store_true", help="a line for every start node")
    options.add_argument("--seconds", type=float, help="the most that one run may take")
    options.add_argument("--final", action="store_true", help="optimise the rows of outputs only")
    options.add_argument("--dense", action="store_true", help="carry whole maps, no windows")
    given = options.parse_args()
    if len(given.network) * len(given.method) > 1:
        sys.exit(each_alone(given))
    start(main, given)
