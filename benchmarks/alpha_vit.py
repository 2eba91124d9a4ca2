"""α-CROWN on a vision transformer: seconds of one iteration, recorded on a GPU or not.

    python benchmarks/alpha_vit.py --layers 3 --patch 8
    python benchmarks/alpha_vit.py --onnx pgd_2_3_16.onnx --vnnlib pgd_2_3_16_1204.vnnlib

Without --onnx the network is random, and the region is a box of `--epsilon` around a random image.
One line of JSON per run: seconds of CROWN, of the start of the climb, of the first iteration (which
is recorded) and the mean of those after it, then the margins of CROWN and of the last iteration.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch
from networks import vit

from boundmesh.bounds.methods import alpha
from boundmesh.bounds.methods.alpha import Climb, StepSchedule
from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.kernels.recorded import Step, recorded_at_first_call
from boundmesh.models import read
from boundmesh.proof.guarantee import rounding_for
from boundmesh.proof.question import questions
from boundmesh.property import Box
from boundmesh.runtime.device import full_precision, peak_bytes
from boundmesh.selfcheck.turn_on import turn_on
from boundmesh.settings import Settings

SETTINGS = Settings(rounding="real")


def main(options: argparse.Namespace) -> None:
    full_precision()
    device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
    if device.type == "cuda":
        turn_on()
    problem, rows, offset = from_files(options, device) if options.onnx else random(options, device)
    with torch.no_grad():
        crown(problem, rows)
        wait(device)
        begun = time.perf_counter()
        crown(problem, rows)
        wait(device)
    seconds = {"crown": time.perf_counter() - begun}
    for name in options.modes.split(","):
        recorded = name == "recorded"
        steps = list(timed(problem, rows, options.iterations, device, recorded))
        starts, firsts, *others = (step[0] for step in steps)
        margins = [(step[1] - offset).amin().item() for step in (steps[0], steps[-1])]
        seconds |= {"start": starts, "first": firsts, "iteration": float(np.median(others))}
        facts = {"mode": name, "crown_margin": margins[0], "margin": margins[1]}
        shown = {key: round(value, 4) for key, value in seconds.items()}
        print(json.dumps(facts | shown | {"peak_mib": peak_bytes(device) >> 20}), flush=True)
    if options.profile:
        climb = Climb(problem, rows, StepSchedule())
        climb.prepare(1, torch.ones_like(climb.lower))
        climb.iterate()
        with torch.profiler.profile() as seen:
            climb.iterate()
            wait(device)
        order = "cpu_time_total" if device.type == "cpu" else "cuda_time_total"
        print(seen.key_averages().table(sort_by=order, row_limit=30, max_name_column_width=60))


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(
    problem: Problem, rows: DenseRows, iterations: int, device: torch.device, recorded: bool
) -> Iterator[tuple[float, torch.Tensor]]:
    """Seconds and bounds of the start of a climb, then of each iteration."""

    def plain(step: Step, device: torch.device, *, recordable: bool) -> Step:
        return step

    begun = time.perf_counter()
    climb = Climb(problem, rows, StepSchedule())
    how = recorded_at_first_call if recorded else plain
    with mock.patch.object(alpha, "recorded_at_first_call", how):
        iterate = climb.ready()
        wait(device)
        yield time.perf_counter() - begun, climb.lower.double().cpu()
        for done in range(1, iterations + 1):
            begun = time.perf_counter()
            climb.prepare(done, torch.ones_like(climb.lower))
            iterate()
            wait(device)
            yield time.perf_counter() - begun, climb.lower.double().cpu()


def random(
    options: argparse.Namespace, device: torch.device
) -> tuple[Problem, DenseRows, torch.Tensor]:
    graph = vit(options.layers, options.heads, options.width, options.patch)
    image = np.random.default_rng(0).random(graph[graph.input].shape)
    layout = OneDevice(graph, device)
    box = Box.around(image, options.epsilon, clip=(0, 1))
    region = region_tensors([box], image.shape, layout.dtype, device)
    program = Program(graph, graph.output)
    problem = Problem(program, region, layout, rounding=rounding_for(graph, SETTINGS, layout))
    classes = graph[graph.output].size
    others = torch.eye(classes, device=device)[0] - torch.eye(classes, device=device)[1:]
    return problem, DenseRows(others.reshape(1, -1, 1, classes)), torch.zeros(classes - 1)


def from_files(
    options: argparse.Namespace, device: torch.device
) -> tuple[Problem, DenseRows, torch.Tensor]:
    graph, wanted = read(options.onnx, options.vnnlib)
    layout = OneDevice(graph, device)
    question = questions(graph, wanted, layout, rounding_for(graph, SETTINGS, layout, wanted))[0]
    program = Program(question.margins.graph, question.margins.graph.output)
    problem = Problem(program, question.region, layout, rounding=question.rounding)
    every = torch.arange(len(question.slack))
    return problem, question.margins.dense(every, layout.dtype, device), question.offset


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--onnx")
    options.add_argument("--vnnlib")
    options.add_argument("--layers", type=int, default=3)
    options.add_argument("--heads", type=int, default=3)
    options.add_argument("--width", type=int, default=48)
    options.add_argument("--patch", type=int, default=8)
    options.add_argument("--epsilon", type=float, default=1 / 255)
    options.add_argument("--iterations", type=int, default=10)
    options.add_argument("--modes", default="recorded,plain")
    options.add_argument("--profile", action="store_true", help="a table of one plain iteration")
    options.add_argument("--cpu", action="store_true")
    main(options.parse_args())
