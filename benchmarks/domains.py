"""Branch and bound at equal work: domains per second and peak memory, by term.

    python benchmarks/domains.py NETWORK.onnx PROPERTY.vnnlib --batch 512 --rounds 10

A round bounds one batch of children with β-CROWN. The first rounds, until the frontier fills a
batch, are not counted. One JSON line; terms are what a batch holds once, in MiB.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from boundmesh.mesh.runtime.open import open_layout
from boundmesh.models import read
from boundmesh.proof.guarantee import rounding_for
from boundmesh.proof.ladder import climb
from boundmesh.proof.question import questions
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.device import choose_device, forget_peak, peak_bytes
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.settings import BoundSettings, BranchSettings, Settings

MIB = 2**20


def main(options: argparse.Namespace) -> None:
    device = choose_device(options.device)
    graph, wanted = read(options.network, options.property)
    layout = open_layout(graph, device=device)
    rounding = rounding_for(graph, Settings(rounding=options.rounding), layout)
    (question,) = questions(graph, wanted, layout, rounding)
    standing, clock = Standing.at_start(question), Clock()
    climb(standing, BoundSettings(), clock)
    settings = BranchSettings(batch=options.batch, ascent_steps=options.steps)
    problem = question.problem(question.region, BoundSettings(), clock)
    search = ActivationSplitting(
        problem, standing.bounds, question.margins, question.offset, settings, clock, never
    )
    clauses = standing.open[0].nonzero().flatten()
    # Fill the frontier, so that every measured round has a whole batch of parents.
    search.run(clauses, standing.clauses[0, clauses], 4 * options.batch)
    forget_peak(device)
    begun, before = time.perf_counter(), search.search.visited
    with profile(options.trace):
        done = search.go_on(before + options.rounds * 2 * options.batch)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    print(json.dumps(facts(options, search, done.visited - before, seconds, device)), flush=True)


@contextmanager
def profile(trace: str | None) -> Iterator[None]:
    """Write a Chrome trace of what happens within, if it is asked for; it slows things down."""
    if trace is None:
        yield
        return
    with torch.profiler.profile() as found:
        yield
        torch.cuda.synchronize()
    found.export_chrome_trace(trace)


def never(points: torch.Tensor) -> bool:
    return False


def facts(
    options: argparse.Namespace,
    search: ActivationSplitting,
    visited: int,
    seconds: float,
    device: torch.device,
) -> dict[str, object]:
    children, neurons = 2 * options.batch, search.bounder.neurons.count
    program = search.bounder.problem.program
    weights = sum(array.size for array in program.graph.weights.values())
    return {
        "benchmark": "domains",
        "network": options.network,
        "batch": options.batch,
        "domains": visited,
        "seconds": round(seconds, 3),
        "domains_per_second": round(visited / seconds, 1),
        "peak_mib": round(peak_bytes(device) / MIB, 1),
        "unstable": neurons,
        "weights_mib": round(4 * weights / MIB, 2),
        "alpha_mib": round(4 * children * search.atoms * neurons / MIB, 2),
        "beta_mib": round(4 * children * search.atoms * neurons / MIB, 2),
        "intermediate_mib": round(8 * children * neurons / MIB, 2),
        "rows_mib": round(4 * children * search.atoms * program.widest(program.target) / MIB, 2),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("network")
    options.add_argument("property")
    options.add_argument("--batch", type=int, default=512)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--device", default="auto")
    options.add_argument("--rounding", default="real", help="what bounds must outweigh, or trust")
    options.add_argument("--trace", help="a file for a Chrome trace of the rounds")
    main(options.parse_args())
