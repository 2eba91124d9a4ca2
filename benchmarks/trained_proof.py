"""A proof that needs branch and bound, on one device and under sharded weights.

    python benchmarks/trained_proof.py                        # train, choose a property, prove it
    python benchmarks/trained_proof.py --shards 2             # the same property on two devices
    python benchmarks/trained_proof.py --small --device cpu

The network has the shape of `large` of `conv_networks.py` and ten outputs; `trained_network.py`
trains it on scikit-learn's digits. The property: every image within a radius of one test image
gets its label. The radius is so large that CROWN and α-CROWN leave the property open, and branch
and bound proves it. Weights and property are kept in --folder, and a later run reads them there.

Prints one JSON line for the choice and one for the proof. Terms of memory: the weights that a rank
holds; the largest tile of rows; what a batch of domains holds once (α, β, bounds of unstable
neurons, rows); the open domains, which lie in host memory, when they were most.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from measure import MIB, Place, place, start
from torch import nn
from trained_network import CLASSES, Data, Training, images, margin_rows, network_at

import boundmesh
from boundmesh import Box, Property, Result
from boundmesh.bounds.sweep.program import Program
from boundmesh.graph.graph import Graph
from boundmesh.search.activation_split import default_batch

TRAINING = {False: Training(64, 0.03, 400, 40.0, 0), True: Training(4, 0.03, 60, 100.0, 0)}
"""How `large` and its small version are trained."""

RADII = [Fraction(round(1000 * 1.06**k), 50_000) for k in range(40)]
"""Radii from 0.02 on, each 6 % larger than the one before."""


@dataclass(frozen=True)
class Chosen:
    """A test image and a radius; the margins that bounds reach there, which are not above 0."""

    image: int
    label: int
    radius: str
    crown: float
    alpha_crown: float


def main(options: argparse.Namespace) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    with place(options) as at:
        device, training = at.device, TRAINING[options.small]
        name = f"trained_{training.wide}"
        file = options.folder / f"{name}.pt"
        if at.mesh is not None and not file.exists():
            sys.exit(f"{file} is missing: run without --shards first")
        module = network_at(file, training, options.data, device, tell)
        _, test = images(options.data, device)
        graph = boundmesh.from_torch(module.cpu(), test.x[:1].cpu())
        known = options.folder / f"{name}.json"
        if not known.exists():
            chosen = choose(graph, module.to(device), test, options)
            if chosen is None:
                sys.exit("no property was found that bounds leave open and the search proves")
            known.write_text(json.dumps(asdict(chosen)) + "\n")
        chosen = Chosen(**json.loads(known.read_text()))
        wanted = property_of(test, chosen.image, Fraction(chosen.radius))
        result = verify(graph, wanted, options, options.timeout)
        line = facts(at, graph, chosen, result, options)
        if at.first:
            print(json.dumps(line), flush=True)


def tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def property_of(test: Data, image: int, radius: Fraction) -> Property:
    """The label of a test image is the largest score on the whole box around the image."""
    return Property.largest(box_of(test, image, radius), int(test.y[image]), CLASSES)


def box_of(test: Data, image: int, radius: Fraction) -> Box:
    return Box.around(test.x[image : image + 1].cpu().numpy(), radius, (0, 1))


def verify(graph: Graph, wanted: Property, options: argparse.Namespace, limit: float) -> Result:
    mesh = f"shards={options.shards}" if options.shards > 1 else None
    return boundmesh.verify(
        graph,
        wanted,
        timeout=limit,
        device=options.device,
        rounding=options.rounding,
        schedule=options.schedule,
        batch=options.batch,
        mesh=mesh,
    )


def choose(
    graph: Graph, module: nn.Module, test: Data, options: argparse.Namespace
) -> Chosen | None:
    """Return the property whose search visited most domains, of those that bounds leave open.

    The images whose radius by CROWN is smallest come first, because few of their neurons are
    unstable. For each, radii are bisected between one that bounds prove and one that nothing does.
    """
    ends = time.perf_counter() + options.choosing
    best, most = None, 0.0
    right = (module(test.x[: options.images]).argmax(1) == test.y[: options.images]).nonzero()
    order = sorted((crown_radius(graph, test, i, options), i) for i in right.flatten().tolist())
    tell(f"radii by CROWN, and images: {', '.join(f'{float(r):.4f} {i}' for r, i in order)}")
    for proved, image in order:
        refused = 2 * proved
        for _ in range(options.trials):
            left = ends - time.perf_counter()
            if left < 1:
                return best
            radius = Fraction(round(5e5 * float(proved * refused) ** 0.5), 500_000)
            result = verify(
                graph, property_of(test, image, radius), options, min(left, options.patience)
            )
            after = {reached.stage: float(reached.margins.min()) for reached in result.reached}
            visited = largest(result, "visited")
            tell(f"image {image}, radius {float(radius):.5f}: {result}; margins {after}")
            if result.proved:
                proved = radius
            else:
                refused = radius
            alpha = after.get("alpha-crown", 1.0)
            if result.proved and not alpha > 0 and visited > most:
                crown = float(margins(graph, test, image, radius, "crown", options).min())
                best = Chosen(image, int(test.y[image]), str(radius), crown, alpha)
                most = visited
    return best


def largest(result: Result, fact: str) -> float:
    """Return the largest number that was reported of a fact; 0 where there was none."""
    return max((value for _, value in result.history.series(fact)), default=0.0)


def crown_radius(graph: Graph, test: Data, image: int, options: argparse.Namespace) -> Fraction:
    """Return the largest of RADII at which CROWN proves the label, by bisection; 0 if none is."""
    proved, refused = -1, len(RADII)
    while refused - proved > 1:
        middle = (proved + refused) // 2
        if (margins(graph, test, image, RADII[middle], "crown", options) > 0).all():
            proved = middle
        else:
            refused = middle
    return RADII[proved] if proved >= 0 else Fraction(1, 1000)


def margins(
    graph: Graph,
    test: Data,
    image: int,
    radius: Fraction,
    method: str,
    options: argparse.Namespace,
) -> np.ndarray:
    """Return lower bounds of the label's score minus each other class's score."""
    label = int(test.y[image])
    others = [k for k in range(CLASSES) if k != label]
    rows = margin_rows(test.y[image : image + 1].cpu())[0, others].numpy()
    found = boundmesh.bounds(
        graph,
        box_of(test, image, radius),
        method=method,
        rows=rows,
        device=options.device,
        rounding=options.rounding,
    )
    return found.lower


def peaks_until(result: Result) -> dict[str, float]:
    """Return the peak of memory up to the end of each stage, on this rank."""
    found: dict[str, float] = {}
    for reading in result.history.readings:
        if reading.memory is not None:
            found[reading.stage] = round(reading.memory.peak / MIB, 1)
    return found


def facts(
    at: Place, graph: Graph, chosen: Chosen, result: Result, options: argparse.Namespace
) -> dict[str, object]:
    program = Program(graph, graph.output)
    neurons = sum(some for some, _ in result.unstable.values())
    batch = options.batch or default_batch(program, gpu=at.device.type == "cuda")
    domains = 2 * batch
    weights = 4 * sum(array.size for array in graph.weights.values())
    peak, seconds = at.worst(result.peak_bytes, sum(result.seconds.values()))
    terms = {
        "weights": weights,
        "weights_of_a_rank": weights / options.shards,
        "rows_of_a_tile": 4 * options.tile_elements,
        "alpha_of_a_batch": 4 * domains * neurons,
        "beta_of_a_batch": 4 * domains * neurons,
        "bounds_of_a_batch": 8 * domains * neurons,
        "rows_of_a_batch": 4 * domains * program.widest(program.target),
        "open_domains_on_the_host": largest(result, "frontier_bytes"),
    }
    return {
        "benchmark": "trained_proof",
        **asdict(chosen),
        "relus": sum(every for _, every in result.unstable.values()),
        "unstable": neurons,
        "verdict": result.verdict.word,
        "margin": float(result.margins.min()),
        "seconds": round(seconds, 2),
        "stages": {name: round(each, 2) for name, each in result.seconds.items()},
        "domains": int(largest(result, "visited")),
        "open_at_most": int(largest(result, "open")),
        "peak_mib": round(peak / MIB, 1),
        "peak_mib_until": peaks_until(result),
        "terms_mib": {name: round(size / MIB, 3) for name, size in terms.items()},
        "batch": batch,
        "shards": options.shards,
        "schedule": "one" if options.shards == 1 else options.schedule,
        "rounding": options.rounding,
        "device": torch.cuda.get_device_name(at.device) if at.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--small", action="store_true", help="a sixteenth of the channels")
    options.add_argument("--shards", type=int, default=1)
    options.add_argument("--schedule", choices=["auto", "gather", "exchange"], default="gather")
    options.add_argument("--rounding", default="real", help="what bounds must outweigh, or trust")
    options.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options.add_argument(
        "--folder", type=Path, default=Path("build/trained"), help="weights, property"
    )
    options.add_argument("--data", type=Path, help="scikit-learn's digits.csv.gz, without it")
    options.add_argument("--images", type=int, default=16, help="test images to choose among")
    options.add_argument("--choosing", type=float, default=30, help="seconds to choose in")
    options.add_argument("--patience", type=float, default=10, help="seconds for a trial")
    options.add_argument("--trials", type=int, default=5, help="radii to try for each image")
    options.add_argument("--timeout", type=float, default=60, help="seconds for the proof")
    options.add_argument("--batch", type=int, help="domains of a rank at a time")
    options.set_defaults(limit_mib=None, tile_elements=2**23, offload="none", wave=None)
    start(main, options.parse_args())
