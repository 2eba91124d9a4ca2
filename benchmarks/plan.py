"""Predicted against measured peaks of memory: networks of many kinds × IBP, CROWN and α-CROWN.

    python benchmarks/plan.py > plan.jsonl                  # on a GPU, under 200 s
    python benchmarks/plan.py --device cpu --small

One JSON line for each network and method, and a table at the end on standard error. A GPU's peak is
that of torch's allocator; a CPU's is the sum of all allocations that torch's profiler reports. The
plan takes the shares of unstable neurons that were found, and no other figure of the run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from measure import MIB
from peaks import largest_at_peak, measured
from plan_networks import KINDS, SMALL
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.operators.interval import Interval
from boundmesh.plan.machine import CPU, HOPPER, OTHER_GPU, Machine
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.planning import plan_bounds
from boundmesh.plan.rehearsal import Bounding
from boundmesh.proof.guarantee import rounding_for
from boundmesh.runtime.device import full_precision
from boundmesh.selfcheck.turn_on import turn_on
from boundmesh.settings import Settings

Line = dict[str, Any]
# Above so many percent of error a line lists the largest tensors at the peak.
EXPLAINED = 4
BOTH_SIDES = {"ibp", "crown"}


@dataclass(frozen=True)
class NotingProgram(Program):
    """A program that notes the share of unstable neurons of every start node at its first count."""

    shares: dict[str, float] = field(default_factory=dict)

    def unstable(self, start: str, boxes: Mapping[str, Interval]) -> Tensor:
        found = super().unstable(start, boxes)
        self.shares.setdefault(start, share_of(found))
        return found


def share_of(mask: Tensor) -> float:
    return float(mask.any(0).double().mean())


class Case:
    """One network on one device."""

    def __init__(self, graph: Graph, x: Tensor, radius: float, device: torch.device) -> None:
        self.graph, self.device, self.radius = graph, device, radius
        self.x = x.reshape(1, *graph[graph.input].shape).to(device)

    def problem(self, program: Program | None = None) -> Problem:
        layout = OneDevice(self.graph, self.device)
        region = BoxRegion(self.x - self.radius, self.x + self.radius)
        program = program or Program(self.graph, self.graph.output)
        rounding = rounding_for(self.graph, Settings(rounding="real"), layout)
        return Problem(program, region, layout, rounding=rounding)

    def run(self, method: str, iterations: int) -> Callable[[], object]:
        def function() -> object:
            problem, rows = self.problem(), self.rows(method)
            return METHODS[method].bound(problem, rows, MethodOptions(iterations))

        return function

    def rows(self, method: str) -> DenseRows:
        size = self.graph[self.graph.output].size
        eye = torch.eye(size, device=self.device).reshape(1, size, *self.shape)
        return DenseRows(torch.cat([eye, -eye], 1) if method in BOTH_SIDES else eye)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.graph[self.graph.output].shape

    @torch.no_grad()
    def unstable(self) -> Unstable:
        """Count the unstable neurons as CROWN does, and as α-CROWN does after it."""
        program = NotingProgram(self.graph, self.graph.output)
        bounds = intermediate_bounds(self.problem(program), by_rows=True).bounds
        plain = Program(self.graph, self.graph.output)
        crown = {name: share_of(plain.unstable(name, bounds)) for name in plain.starts}
        return Unstable(1.0, crown | program.shares, crown, "measured")

    def plan(self, method: str, iterations: int, unstable: Unstable, machine: Machine) -> Line:
        rows = self.graph[self.graph.output].size * (2 if method in BOTH_SIDES else 1)
        begun = time.perf_counter()
        bounding = Bounding(self.graph, method, rows, iterations=iterations)
        (line,) = plan_bounds(bounding, unstable, machine).lines
        terms = {term.name.lower(): round(size / MIB, 2) for term, size in line.terms.items()}
        return {
            "predicted_mib": round(line.peak / MIB, 2),
            "predicted_seconds": round(line.seconds, 4),
            "terms": {name: size for name, size in terms.items() if size},
            "plan_seconds": round(time.perf_counter() - begun, 2),
        }


def machine_of(device: torch.device) -> Machine:
    if device.type == "cpu":
        return CPU
    return HOPPER if torch.cuda.get_device_capability(device)[0] == 9 else OTHER_GPU


def lines_of(name: str, options: argparse.Namespace, device: torch.device) -> list[Line]:
    kind = (SMALL if options.small else KINDS)[name]
    graph, x = kind.make()
    case = Case(graph, torch.as_tensor(x), kind.radius, device)
    begun = time.perf_counter()
    unstable = case.unstable()
    print(f"{name}: counted in {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    # On a CPU weights are the network's own arrays, which torch's allocator does not report.
    shared = device.type == "cpu"
    held = sum(a.nbytes for a in graph.weights.values() if a.flags.c_contiguous) / MIB * shared
    found: list[Line] = []
    for method in options.methods:
        peak, seconds = measured(case.run(method, options.iterations), device)
        line: Line = {
            "benchmark": "plan",
            "network": name,
            "method": method,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "torch": torch.__version__,
            "measured_mib": round(peak + held, 2),
            "measured_seconds": round(seconds, 4),
            **case.plan(method, options.iterations, unstable, machine_of(device)),
            "unstable": {key: round(share, 4) for key, share in unstable.interval.items()},
            "unstable_crown": {key: round(share, 4) for key, share in unstable.crown.items()},
        }
        line["error_percent"] = round(100 * (line["predicted_mib"] / line["measured_mib"] - 1), 2)
        if device.type == "cuda" and abs(line["error_percent"]) > EXPLAINED:
            line["largest_at_peak"] = largest_at_peak(case.run(method, options.iterations))
        print(json.dumps(line), flush=True)
        found.append(line)
    return found


def table(lines: list[Line]) -> str:
    rows = [f"{'network':18} {'method':12} {'measured':>12} {'predicted':>12} {'error':>8}"]
    for line in lines:
        rows.append(
            f"{line['network']:18} {line['method']:12} {line['measured_mib']:8.1f} MiB "
            f"{line['predicted_mib']:8.1f} MiB {line['error_percent']:+7.1f}% "
            f"{line['measured_seconds']:8.3f} s {line['predicted_seconds']:8.3f} s"
        )
    return "\n".join(rows)


def main(options: argparse.Namespace) -> None:
    cuda = options.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    full_precision()
    turn_on()
    lines: list[Line] = []
    for name in options.networks or (SMALL if options.small else KINDS):
        lines += lines_of(name, options, device)
    print(table(lines), file=sys.stderr)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options.add_argument("--small", action="store_true", help="smaller networks, for CPUs")
    options.add_argument("--networks", nargs="*", help="only these")
    options.add_argument("--methods", nargs="*", default=["ibp", "crown", "alpha-crown"])
    options.add_argument("--iterations", type=int, default=2)
    main(options.parse_args())
