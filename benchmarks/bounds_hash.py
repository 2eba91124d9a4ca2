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
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import boundmesh
from boundmesh import Atom, Box, Case, Clause, Graph, Layout, Property

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")
ROUNDINGS = ("trust", "float32")
REAL = {
    "mnist 256x2": ("mnist_fc", "*256x2*", "*prop_0_0.03*"),
    "acasxu 1_1": ("acasxu", "*run2a_1_1_*", "*prop_1.*"),
    "oval21 base": ("oval21", "*base*", "*base*"),
    "resnet_2b": ("cifar10_resnet", "*2b*", "*/*"),
    "vit": ("vit_2023", "*", "*"),
}
# Larger networks are bounded by fewer methods, so that a run stays short.
HEAVY = {"oval21 base", "resnet_2b", "vit"}
# Begins the names of networks that no file holds; verify compares with ONNX Runtime, so it refuses
# them, and they are not searched.
BUILT = "built "
ROUNDS = 6
# Where the bounds to prove lie between that of CROWN (0) and the output at the centre (1).
SHARES = (0.12, 0.2)


class Attention(nn.Module):
    """One head of attention over five tokens of four numbers, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
        self.last = nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(-1, -2) / 2
        result: Tensor = self.last((scores.softmax(-1) @ self.value(x)).flatten(1))
        return result


class Mixing(nn.Module):
    """Products, a concatenation and a sum of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.last = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x).relu(), self.b(x)
        result: Tensor = self.last(torch.cat([a * b.sigmoid(), a - b], dim=1))
        return result


def pooling() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "pooling": (pooling, (1, 1, 8, 8)),
    "mixing": (Mixing, (1, 5)),
    "attention": (Attention, (1, 5, 4)),
}


def synthetic() -> Iterator[tuple[str, Graph, Box]]:
    """Small networks of every kind, and a box for each."""
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    from networks import mlp

    from tests.networks import NETWORKS

    graph, x = mlp(784, 256, 256, 10)
    yield f"{BUILT}mlp 784-256-256-10", graph, Box.around(x, 0.02, clip=(0, 1))
    for name, build in NETWORKS.items():
        graph = build(0)
        yield BUILT + name, graph, around(graph.inputs[0].shape, 0.1)
    digits = ROOT / "examples" / "digits"
    image = np.load(digits / "image.npy")
    for file in sorted(digits.glob("*.onnx")):
        yield f"digits {file.stem}", boundmesh.load(file), Box.around(image, 0.06, clip=(0, 1))
    for name, (module, shape) in MODULES.items():
        torch.manual_seed(0)
        yield name, boundmesh.from_torch(module().eval(), torch.zeros(shape)), around(shape, 0.05)


def around(shape: tuple[int, ...], radius: float) -> Box:
    center = np.random.default_rng(7).normal(size=shape)
    return Box.around(center, radius)


def real(folder: Path) -> Iterator[tuple[str, Graph, Box]]:
    """Networks of VNN-COMP, where they are, and the first region of a property of each."""
    from boundmesh.read import vnnlib

    for name, (family, network, spec) in REAL.items():
        networks = sorted((folder / family / "onnx").glob(network))
        specs = sorted((folder / family / "vnnlib").glob(spec))
        if networks and specs:
            graph = boundmesh.load(networks[0])
            wanted = vnnlib.load(specs[0], graph.inputs, graph.outputs)
            region = wanted.cases[0].region
            assert isinstance(region, Box), "these properties have boxes"
            yield name, graph, region


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
