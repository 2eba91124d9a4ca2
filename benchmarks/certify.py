"""`certify` on scikit-learn's digits, beside the sum of single calls of `verify`.

    python benchmarks/certify.py --count 1000 --eps 8/255 --jobs 2

The network is the convolutional one of examples/digits; it was trained on the first 1 500 digits,
and the last `count` are certified. Single calls are timed on `--sample` of them, evenly spaced, and
their mean is multiplied by the count. Prints one JSON line.

    python benchmarks/certify.py --searched --count 60 --eps 0.07 --jobs 1 --sample 0

takes only digits that attacks and α-CROWN leave open, to show what `--jobs` does for searches.
"""

from __future__ import annotations

import argparse
import json
import os
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import boundmesh
from boundmesh import Box, Property

NETWORK = Path(__file__).parents[1] / "examples" / "digits" / "conv.onnx"


def digits(data: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return all images `[N, 1, 8, 8]` from 0 to 1 and their labels.

    They come from scikit-learn, or from its `digits.csv.gz` where `data` names that file.
    """
    if data is None:
        from sklearn.datasets import load_digits

        found = load_digits()
        images, labels = found.images, found.target
    else:
        table = np.loadtxt(data, delimiter=",")
        images, labels = table[:, :64], table[:, 64].astype(int)
    return (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32), labels


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it started and that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def alone(
    graph: boundmesh.Graph,
    images: np.ndarray,
    labels: np.ndarray,
    eps: Fraction,
    options: dict[str, Any],
) -> tuple[float, int]:
    """Verify inputs one by one; return the seconds in all, and how many were proved."""
    began, proved = perf_counter(), 0
    for image, label in zip(images, labels.tolist(), strict=True):
        region = Box.around(image[None], eps, (0, 1))
        found = boundmesh.verify(graph, Property.largest(region, label, 10), **options)
        proved += found.proved
    return perf_counter() - began, proved


def searched(
    graph: boundmesh.Graph, images: np.ndarray, labels: np.ndarray, eps: Fraction, count: int
) -> np.ndarray:
    """Return the places of the first inputs that attacks and α-CROWN leave open."""
    places: list[int] = []
    for first in range(0, len(images), 100):
        part = slice(first, first + 100)
        found = boundmesh.certify(
            graph, images[part], labels[part], eps=eps, clip=(0, 1), method="alpha-crown"
        )
        places += [first + each.index for each in found if each.verdict == "unknown"]
        if len(places) >= count:
            break
    return np.array(places[:count])


def options_of_line() -> argparse.Namespace:
    """Read the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=50)
    parser.add_argument("--eps", type=Fraction, default=Fraction(8, 255))
    parser.add_argument("--timeout-per-input", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu", help="on a GPU give --jobs 1")
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--searched", action="store_true", help="only digits that need a search")
    parser.add_argument("--data", type=Path, help="scikit-learn's digits.csv.gz")
    return parser.parse_args()


def main() -> None:
    chosen = options_of_line()
    graph, (images, labels) = boundmesh.load(NETWORK), digits(chosen.data)
    places = np.arange(len(images))[-chosen.count :]
    if chosen.searched:
        places = searched(graph, images, labels, chosen.eps, chosen.count)
    images, labels, before = images[places], labels[places], cpu_seconds()
    found = boundmesh.certify(
        graph,
        images,
        labels,
        eps=chosen.eps,
        clip=(0, 1),
        largest=chosen.largest,
        timeout_per_input=chosen.timeout_per_input,
        jobs=chosen.jobs,
        device=chosen.device,
    )
    between = cpu_seconds()
    sample = min(chosen.sample, len(images))
    scale = len(images) / max(1, sample)
    some = np.linspace(0, len(images) - 1, sample).astype(int)
    limit = chosen.timeout_per_input
    options = {"timeout": limit, "device": chosen.device}
    single, proved = alone(graph, images[some], labels[some], chosen.eps, options)
    after = cpu_seconds()
    together = {
        "inputs": len(images),
        "eps": str(chosen.eps),
        "device": chosen.device,
        "jobs": chosen.jobs,
        "seconds": round(found.total_seconds, 2),
        "cpu_seconds": round(between - before, 2),
        **decided(found),
        "median_radius": float(np.median(found.certified_eps)) if chosen.largest else None,
    }
    apart = {
        "single_sample": len(some),
        "single_proved": proved,
        "single_seconds_sample": round(single, 2),
        "single_cpu_seconds_all": round((after - between) * scale, 1),
        "single_seconds_all": round(single * scale, 1),
    }
    where = {"cores": os.cpu_count(), "torch": torch.__version__}
    print(json.dumps(together | apart | where))


def decided(found: boundmesh.Certification) -> dict[str, object]:
    """Describe what decided the inputs, and in which time."""
    stages = [certified.stage for certified in found]
    return {
        "stages": {name: round(seconds, 2) for name, seconds in found.seconds.items()},
        "clean_accuracy": found.clean_accuracy,
        "certified_accuracy": found.certified_accuracy,
        **found.counts,
        "decided_by": {stage: stages.count(stage) for stage in dict.fromkeys(stages)},
    }


if __name__ == "__main__":
    main()
