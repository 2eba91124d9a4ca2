"""Mean widths of bounds of smooth operators, against the compositions that they replace.

    python benchmarks/relaxations.py

Each network is a random layer, the operator, and a random layer; its inputs are a box around a
random point. "sampled" is the width that 2000 points of the box reach.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch

import boundmesh
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node
from boundmesh.read.translate.linear import standardized

INPUTS, SEEDS = 6, 4


def softmax_of_parts(build: Builder, x: Node) -> Node:
    grown = build.add("exp", x)
    share = build.add("reciprocal", build.add("sum", grown, axes=(1,)))
    return build.add("multiply", grown, build.broadcast(share, x.shape))


def gelu_of_parts(build: Builder, x: Node) -> Node:
    gate = build.add("erf", build.add("scale", x, weights=(1 / math.sqrt(2),)))
    raised = build.add("shift", gate, weights=(1.0,))
    return build.add("scale", build.add("multiply", x, raised), weights=(0.5,))


def silu_of_parts(build: Builder, x: Node) -> Node:
    return build.add("multiply", x, build.add("sigmoid", x))


def normalised(build: Builder, x: Node) -> Node:
    return standardized(build, x, (1,), 1e-5)


def normalised_of_parts(build: Builder, x: Node) -> Node:
    """The same without its limit."""
    found = normalised(build, x)
    return build.nodes[found.inputs[0]]


PAIRS = {
    "softmax": (softmax_of_parts, lambda build, x: build.add("softmax", x, axis=1)),
    "gelu": (gelu_of_parts, lambda build, x: build.add("gelu", x)),
    "silu": (silu_of_parts, lambda build, x: build.add("silu", x)),
    "layer norm": (normalised_of_parts, normalised),
}


def network(name: str, whole: bool, wide: int, seed: int) -> Graph:
    random, build = np.random.default_rng(seed), Builder()
    x = build.input((1, INPUTS))
    first = random.normal(size=(wide, INPUTS)).astype(np.float32) * 0.7
    y = PAIRS[name][whole](build, build.add("linear", x, weights=(first,)))
    last = random.normal(size=(3, wide)).astype(np.float32)
    y = build.add("linear", y, weights=(last,))
    return build.graph(y, (Port("x", (1, INPUTS)),), (Port("y", y.shape),))


def width(graph: Graph, box: boundmesh.Box, method: str) -> float:
    found = boundmesh.bounds(graph, box, method=method)
    return float((found.upper - found.lower).mean())


def sampled(graph: Graph, box: boundmesh.Box, seed: int) -> float:
    points = np.random.default_rng(seed).uniform(box.lower, box.upper, (2000, INPUTS))
    x = torch.from_numpy(points).unsqueeze(1)
    y = forward(graph, tensors(graph, torch.float64), x).flatten(1)
    return float((y.amax(0) - y.amin(0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16, help="length of the vectors")
    wide = parser.parse_args().width
    print(f"{'operator':>10} {'radius':>6} {'sampled':>8} " +
          " ".join(f"{m + ' ' + k:>19}" for m in ("ibp", "crown", "alpha-crown")
                   for k in ("parts", "whole")))  # fmt: skip
    for name in PAIRS:
        for radius in (0.02, 0.1, 0.3, 1.0):
            rows: list[list[float]] = []
            for seed in range(SEEDS):
                center = np.random.default_rng(seed).normal(size=INPUTS)
                box = boundmesh.Box(center - radius, center + radius)
                graphs = [network(name, whole, wide, seed) for whole in (False, True)]
                rows.append([sampled(graphs[0], box, seed)])
                rows[-1] += [width(graph, box, method) for method in ("ibp", "crown", "alpha-crown")
                             for graph in graphs]  # fmt: skip
            mean = np.mean(rows, 0)
            print(
                f"{name:>10} {radius:>6} {mean[0]:>8.4g} "
                + " ".join(f"{v:>19.4g}" for v in mean[1:])
            )


if __name__ == "__main__":
    main()
