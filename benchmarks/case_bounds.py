"""Bounds of every small network of a folder, by every method: finite, sound, and worth their time.

    python benchmarks/case_bounds.py ../shared/cases/smooth ../shared/cases/operators

Each network is bounded in boxes of several radii around 0 and around a random point. The table has,
for each method, the mean width of the outputs' bounds and the seconds, least of --runs; beside them
the width that samples reach. Faults are named below the table, and the exit code is then 1:

NaN         a bound that is NaN
outside     a sample outside of the bounds
infinite    an infinite bound where the interval's is finite
wider       α-CROWN is wider than the interval
slow        α-CROWN takes more than ten times as long as CROWN, and is no tighter
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import boundmesh
from boundmesh import BoundmeshError, Box
from boundmesh.graph.graph import Graph
from boundmesh.read.runtime import Runtime

METHODS = ("ibp", "crown", "alpha-crown")
RADII = (0.0, 1e-6, 1e-3, 0.05, 0.1, 0.3, 2.0)
SAMPLES = 200
TIGHTER = 1e-3
"""α-CROWN is tighter than CROWN if its mean width is smaller by this share."""
SLOWEST = 10
SLACK = 0.05
"""Seconds that are no matter."""


@dataclass(frozen=True)
class Found:
    """The bounds of one method, and the seconds that they took."""

    lower: np.ndarray
    upper: np.ndarray
    seconds: float

    @property
    def width(self) -> float:
        return float((self.upper - self.lower).mean()) if self.lower.size else 0.0


def main(options: argparse.Namespace) -> int:
    faults: list[str] = []
    print(f"{'network':24}{'radius':>8}{'sampled':>11}"
          + "".join(f"{method + ' width':>18}{'s':>8}" for method in METHODS))  # fmt: skip
    for file in files(options.paths):
        try:
            graph = boundmesh.load(file)
        except BoundmeshError as error:
            print(f"{file.stem:24}{'':>8} refused: {error}")
            continue
        for center in (np.zeros, np.random.default_rng(0).random):
            faults += judged(file, graph, center(graph[graph.input].size), options)
    print(f"\nfaults: {len(faults)}", *faults, sep="\n  ")
    return bool(faults)


def files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.onnx")) if path.is_dir() else [path]


def judged(
    file: Path, graph: Graph, center: np.ndarray, options: argparse.Namespace
) -> Iterator[str]:
    """Print a line for each radius, and name its faults."""
    for radius in RADII:
        box = Box(center - radius, center + radius)
        where = f"{file.stem} in [{box.lower.min():.3g}, {box.upper.max():.3g}]"
        try:
            found = {method: bound(graph, box, method, options) for method in METHODS}
        except BoundmeshError as error:
            print(f"{file.stem:24}{radius:>8g} refused: {error}")
            continue
        outputs = sampled(graph, box)
        reached = float(np.ptp(outputs, axis=0).mean()) if outputs.size else 0.0
        print(f"{file.stem:24}{radius:>8g}{reached:>11.4g}"
              + "".join(f"{each.width:>18.6g}{each.seconds:>8.3f}" for each in found.values()),
              flush=True)  # fmt: skip
        yield from (f"{where}: {fault}" for fault in faults_of(found, outputs))


def bound(graph: Graph, box: Box, method: str, options: argparse.Namespace) -> Found:
    seconds = []
    for _ in range(options.runs):
        begun = time.perf_counter()
        found = boundmesh.bounds(graph, box, method=method, device=options.device)
        seconds.append(time.perf_counter() - begun)
    return Found(found.lower, found.upper, min(seconds))


def sampled(graph: Graph, box: Box) -> np.ndarray:
    """Return ONNX Runtime's outputs `[SAMPLES, outputs]` at random points and corners of the box.

    Outputs that are NaN or infinite are left out: no bound can hold for them.
    """
    random, runtime = np.random.default_rng(1), Runtime(graph)
    share = random.random((SAMPLES, box.size))
    share[::2] = share[::2].round()
    points = (box.lower + share * (box.upper - box.lower)).astype(np.float32)
    # A point may round out of the box.
    points = points.clip(*(end.astype(np.float32) for end in (box.lower, box.upper)))
    outputs = np.stack([runtime(point) for point in points])
    finite: np.ndarray = outputs[np.isfinite(outputs).all(1)]
    return finite


def faults_of(found: dict[str, Found], outputs: np.ndarray) -> Iterator[str]:
    interval, crown, alpha = (found[method] for method in METHODS)
    for method, each in found.items():
        ends = np.stack([each.lower, each.upper])
        if np.isnan(ends).any():
            yield f"NaN by {method}"
        slack = 1e-5 * (1 + np.abs(outputs))
        if ((outputs < each.lower - slack) | (outputs > each.upper + slack)).any():
            yield f"outside by {method}"
        finite = np.isfinite(np.stack([interval.lower, interval.upper]))
        if (~np.isfinite(ends) & finite).any():
            yield f"infinite by {method}"
    if (alpha.lower < interval.lower - 1e-5 * (1 + np.abs(interval.lower))).any() or (
        alpha.upper > interval.upper + 1e-5 * (1 + np.abs(interval.upper))
    ).any():
        yield "wider by alpha-crown"
    if alpha.seconds > SLOWEST * crown.seconds + SLACK and alpha.width > crown.width * (
        1 - TIGHTER
    ):
        yield f"slow by alpha-crown: {crown.seconds:.3f} s by crown, {alpha.seconds:.3f} s"


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="ONNX file or folder")
    options.add_argument("--runs", type=int, default=2)
    options.add_argument("--device", default="cpu")
    sys.exit(main(options.parse_args()))
