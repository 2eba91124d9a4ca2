"""Mean widths of bounds of smooth operators, against the compositions that they replace.

    python benchmarks/relaxations.py

Each network is a random layer, the operator, and a random layer; its inputs are a box around a
random point. "sampled" is the width that 2000 points of the box reach. An "encoder layer" is one of
a transformer, its norms bounded by parts or as a whole.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import boundmesh
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node
from boundmesh.read.translate.linear import standardized

INPUTS, TOKENS, SEEDS = 6, 3, 4
ENCODER = "encoder layer"


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


def layer_norm(build: Builder, x: Node) -> Node:
    return standardized(build, x, (1,), 1e-5)


def rms_norm(build: Builder, x: Node) -> Node:
    squares = build.add("sum", build.add("power", x, exponent=2.0), axes=(1,))
    mean = build.add("scale", squares, weights=(1 / x.size,))
    root = build.add("sqrt", build.add("shift", mean, weights=(1e-5,)))
    share = build.broadcast(build.add("reciprocal", root), x.shape)
    return build.add("multiply", x, share)


PAIRS = {
    "softmax": (softmax_of_parts, lambda build, x: build.add("softmax", x, axis=1)),
    "gelu": (gelu_of_parts, lambda build, x: build.add("gelu", x)),
    "silu": (silu_of_parts, lambda build, x: build.add("silu", x)),
    "layer norm": (layer_norm, layer_norm),
    "rms norm": (rms_norm, rms_norm),
}


def network(name: str, whole: bool, wide: int, seed: int) -> Graph:
    random, build = np.random.default_rng(seed), Builder()
    x = build.input((1, INPUTS))
    first = random.normal(size=(wide, INPUTS)).astype(np.float32) * 0.7
    y = PAIRS[name][whole](build, build.add("linear", x, weights=(first,)))
    last = random.normal(size=(3, wide)).astype(np.float32)
    y = build.add("linear", y, weights=(last,))
    return build.graph(y, (Port("x", (1, INPUTS)),), (Port("y", y.shape),))


def encoder_layer(wide: int, seed: int) -> Graph:
    """Return a transformer's layer with norms in front, whose parameters all are random."""
    torch.manual_seed(seed)
    options: Any = {"batch_first": True, "norm_first": True, "activation": "gelu"}
    layer = torch.nn.TransformerEncoderLayer(wide, 2, 2 * wide, **options).eval()
    for parameter in layer.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    return boundmesh.from_torch(layer, torch.zeros(1, TOKENS, wide))


def width(graph: Graph, box: boundmesh.Box, method: str, whole: bool) -> float:
    """Return the mean width. Where a float64 run is bounded, normalisations are bounded by parts;
    its rounding does not matter here."""
    rounding = "real" if whole else "float64"
    graph = replace(graph, unbounded=frozenset())
    found = boundmesh.bounds(graph, box, method=method, dtype="float64", rounding=rounding)
    return float((found.upper - found.lower).mean())


def sampled(graph: Graph, box: boundmesh.Box, seed: int) -> float:
    points = np.random.default_rng(seed).uniform(box.lower, box.upper, (2000, box.size))
    x = torch.from_numpy(points).reshape(-1, *graph[graph.input].shape)
    y = forward(graph, tensors(graph, torch.float64), x).flatten(1)
    return float((y.amax(0) - y.amin(0)).mean())


def pair(name: str, wide: int, seed: int) -> list[Graph]:
    """Return the network of the parts, and the one of the whole operator."""
    if name == ENCODER:
        return [encoder_layer(wide, seed)] * 2
    return [network(name, whole, wide, seed) for whole in (False, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*PAIRS], help=", ".join([*PAIRS, ENCODER]))
    parser.add_argument("--width", type=int, default=16, help="length of the vectors")
    parser.add_argument("--radii", type=float, nargs="+", default=[0.02, 0.1, 0.3, 1.0])
    options = parser.parse_args()
    methods = ("ibp", "crown", "alpha-crown")
    columns = [f"{method} {kind}" for method in methods for kind in ("parts", "whole")]
    print(f"{'operator':>13} {'radius':>6} {'sampled':>8}", *(f"{each:>18}" for each in columns))
    for name in options.names:
        for radius in options.radii:
            rows: list[list[float]] = []
            for seed in range(SEEDS):
                graphs = pair(name, options.width, seed)
                center = np.random.default_rng(seed).normal(size=graphs[0][graphs[0].input].size)
                box = boundmesh.Box(center - radius, center + radius)
                widths = [width(graphs[whole], box, method, bool(whole)) for method in methods
                          for whole in (0, 1)]  # fmt: skip
                rows.append([sampled(graphs[0], box, seed), *widths])
            mean = np.mean(rows, 0)
            print(f"{name:>13} {radius:>6} {mean[0]:>8.4g}", *(f"{v:>18.4g}" for v in mean[1:]),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
