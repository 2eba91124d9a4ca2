"""SHA-256 of bounds, to prove that a change of the code changes no result.

    python benchmarks/bounds_hash.py > before.jsonl
    python benchmarks/bounds_hash.py --compare before.jsonl
    python benchmarks/bounds_hash.py --shards 2 --schedule gather > gather.jsonl
    python benchmarks/bounds_hash.py --device cuda --data ../shared/data/vnncomp > cuda.jsonl

Each network is bounded by each method, with rounding trusted and with that of float32 outweighed,
and searched by branch and bound, in a few rounds of a fixed batch. A line of JSON has the digest of
the bounds of the outputs and of all start nodes, or of all that the search reported. With several
shards the script starts itself again under torchrun, and its first rank prints.

With --compare, only what differs is printed, and the exit code is 1 where something does. Digests
are equal only on the same kind of device, with the same version of PyTorch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hashed_networks import BUILT, real, synthetic

import boundmesh
from boundmesh import Atom, Box, Case, Clause, Graph, Layout, Property

METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")
ROUNDINGS = ("trust", "float32")
# Larger networks are bounded by fewer methods, so that a run stays short.
HEAVY = {"oval21 base", "resnet_2b", "vit"}
ROUNDS = 6
# Where the bounds to prove lie between that of CROWN (0) and the output at the centre (1).
SHARES = (0.12, 0.2)


def bounded(graph: Graph, box: Box, method: str, **options: Any) -> list[np.ndarray]:
    """The ends of the outputs' box and of every start node's."""
    found = boundmesh.bounds(graph, box, method=method, iterations=5, **options)
    ends = [found.lower, found.upper]
    for name in sorted(found.intermediate):
        between = found.intermediate[name]
        ends += [end.detach().cpu().numpy() for end in (between.lower, between.upper)]
    return ends


class Rounds:
    """Keeps what branch and bound reports, and interrupts it after ROUNDS reports."""

    def __init__(self) -> None:
        self.facts: list[float] = []
        self.left = ROUNDS

    def stage(self, name: str, detail: str = "") -> None:
        """Stages are not kept."""

    def warn(self, text: str) -> None:
        """Warnings are not kept."""

    def update(self, **facts: int | float | str) -> None:
        """Keep the numbers of a round."""
        if "visited" in facts:
            kept = ("margin", "open", "visited", "depth", "stuck")
            self.facts += [float(facts[name]) for name in kept]
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def searched(graph: Graph, box: Box, **options: Any) -> list[np.ndarray]:
    """What branch and bound reports of `y₀ > c`, where c lies between CROWN's bound and f₀(x)."""
    x = (np.asarray(box.lower) + np.asarray(box.upper)) / 2
    inside = boundmesh.bounds(graph, Box(x, x), method="ibp", **options).lower[0]
    below = boundmesh.bounds(graph, box, method="crown", **options).lower[0]
    limits: dict[str, Any] = {
        "batch": 8,
        "ascent_steps": 5,
        "levels": 2,
        "refinements": 0,
        "iterations": 5,
    }
    reported: list[np.ndarray] = []
    for share in SHARES:
        bound = Fraction(float(np.float32(below + share * (inside - below))))
        clause = Clause((Atom((), ((0, Fraction(1)),), bound),))
        wanted = Property((Case(box, (clause,)),), x.size, graph[graph.output].size)
        rounds = Rounds()
        found = boundmesh.verify(graph, wanted, progress=rounds, restarts=0, **limits, **options)
        word = [float(byte) for byte in found.verdict.word.encode()]
        counts = [count for pair in found.unstable.values() for count in pair]
        margin = getattr(found.verdict, "bound", 0.0)
        reported.append(np.array([margin, *rounds.facts, *word, *counts]))
    return reported


def digest(arrays: list[np.ndarray]) -> str:
    """SHA-256 of the arrays' bytes: equal bits, equal digests."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def lines(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    layout = Layout(options.shards, schedule=options.schedule if options.shards > 1 else "auto")
    where = {"device": options.device, "mesh": layout, "threads": 1}
    names = {"device": options.device, "shards": options.shards, "schedule": layout.schedule}
    networks = [*synthetic(), *(real(options.data) if options.data else ())]
    for name, graph, box in networks:
        for rounding in ROUNDINGS:
            ways = {m: partial(bounded, method=m) for m in METHODS} | {"search": searched}
            for method, way in ways.items():
                slow = name in HEAVY and method in ("alpha-crown", "search")
                if slow or (name.startswith(BUILT) and method == "search"):
                    continue
                key = {"network": name, "method": method, "rounding": rounding, **names}
                begun = time.perf_counter()
                try:
                    found = {"sha256": digest(way(graph, box, rounding=rounding, **where))}
                except boundmesh.BoundmeshError as error:
                    found = {"refused": str(error)}
                yield key | found | {"seconds": round(time.perf_counter() - begun, 2)}


def key_of(line: dict[str, Any]) -> str:
    names = ("network", "method", "rounding", "device", "shards", "schedule")
    return " | ".join(str(line[name]) for name in names)


def result_of(line: dict[str, Any]) -> str:
    """The digest; a refusal's words may change, that it is one may not."""
    return str(line.get("sha256", "refused"))


def compare(found: list[dict[str, Any]], file: Path) -> int:
    """Print what differs from the lines of a file, of those of this layout; 1 if anything does."""
    before = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    layouts = {(line["device"], line["shards"], line["schedule"]) for line in found}
    earlier = {
        key_of(line): result_of(line)
        for line in before
        if (line["device"], line["shards"], line["schedule"]) in layouts
    }
    now = {key_of(line): result_of(line) for line in found}
    differs = sorted(key for key in earlier | now if earlier.get(key) != now.get(key))
    for key in differs:
        print(f"{key}: {earlier.get(key, 'absent')[:12]} became {now.get(key, 'absent')[:12]}")
    print(f"{len(now)} digests, {len(differs)} differ")
    return 1 if differs else 0


def main(options: argparse.Namespace) -> int:
    first = os.environ.get("RANK", "0") == "0"
    found = []
    for line in lines(options):
        found.append(line)
        if first and not options.compare:
            print(json.dumps(line), flush=True)
    return compare(found, options.compare) if options.compare and first else 0


def under_torchrun(shards: int) -> int:
    """Run this script again, as that many ranks; its exit code."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = [*torchrun, f"--nproc-per-node={shards}", *sys.argv]
    return subprocess.run(words, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--schedule", choices=["gather", "exchange"], default="gather")
    parser.add_argument("--data", type=Path, help="a folder with families of VNN-COMP")
    parser.add_argument("--compare", type=Path, help="a file with the lines of an earlier run")
    chosen = parser.parse_args()
    if chosen.shards > 1 and "RANK" not in os.environ:
        sys.exit(under_torchrun(chosen.shards))
    sys.exit(main(chosen))
