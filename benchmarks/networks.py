"""Random networks for measurements, their weights in files that all modes share."""

from __future__ import annotations

import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import known
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node

STORE = Path(os.environ.get("BOUNDMESH_BENCHMARK_STORE", tempfile.gettempdir())) / "boundmesh-nets"


def mlp(*sizes: int, seed: int = 42) -> tuple[Graph, np.ndarray]:
    """ReLU network of `sizes` with PyTorch's default initialisation, and one input in [0, 1].

    The numbers are those of `torch.manual_seed(seed)`, the layers in order, then the input.
    """
    folder = STORE / ("-".join(map(str, sizes)) + f"-{seed}")
    make(folder, sizes, seed)
    nodes = [Node("x", "input", (), (1, sizes[0]))]
    weights: dict[str, np.ndarray] = {}
    for layer, (wide, out) in enumerate(pairwise(sizes)):
        for kind in ("weight", "bias"):
            weights[f"{kind}{layer}"] = np.load(folder / f"{kind}{layer}.npy", mmap_mode="r")
        names = (f"weight{layer}", f"bias{layer}")
        before = nodes[-1].name
        nodes.append(Node(f"z{layer}", "linear", (before,), (1, out), ((1, wide),), {}, names))
        if layer < len(sizes) - 2:
            nodes.append(Node(f"a{layer}", "relu", (f"z{layer}",), (1, out), ((1, out),)))
    ports = (Port("x", (1, sizes[0])),), (Port(nodes[-1].name, (1, sizes[-1])),)
    graph = Graph(tuple(nodes), "x", nodes[-1].name, weights, *ports)
    return graph, np.load(folder / "input.npy")


def make(folder: Path, sizes: tuple[int, ...], seed: int) -> None:
    """Write the weights once; ranks that come meanwhile wait."""
    if folder.exists():
        return
    STORE.mkdir(parents=True, exist_ok=True)
    work = folder.with_suffix(".part")
    try:
        work.mkdir()
    except FileExistsError:
        while not folder.exists():
            time.sleep(0.1)
        return
    torch.manual_seed(seed)
    for layer, (wide, out) in enumerate(pairwise(sizes)):
        linear = torch.nn.Linear(wide, out)
        np.save(work / f"weight{layer}.npy", linear.weight.detach().numpy())
        np.save(work / f"bias{layer}.npy", linear.bias.detach().numpy())
    np.save(work / "input.npy", torch.rand(1, sizes[0]).numpy())
    work.rename(folder)


def vit(
    layers: int,
    heads: int,
    width: int,
    patch: int,
    side: int = 32,
    classes: int = 10,
    seed: int = 42,
) -> Graph:
    """A vision transformer with random weights, built as the networks of VNN-COMP's vit_2023.

    An image of 3 × `side` × `side` becomes patches of `patch` × `patch` pixels and one more token.
    Each layer has attention and then two linear layers with a ReLU, each after a normalisation that
    is a scale and a shift. The mean of all tokens is classified.
    """
    random, build = np.random.default_rng(seed), Builder()
    tokens = (side // patch) ** 2 + 1

    def normal(*shape: int) -> np.ndarray:
        return np.asarray(random.normal(size=shape) / np.sqrt(np.prod(shape[1:])), np.float32)

    def small(*shape: int) -> np.ndarray:
        return np.asarray(0.1 * random.normal(size=shape), np.float32)

    def linear(x: Node, out: int) -> Node:
        return build.add("linear", x, weights=(normal(out, x.shape[-1]), small(out)))

    def norm(x: Node) -> Node:
        x = build.add("transpose", x, perm=(0, 2, 1))
        x = build.add("scale", x, weights=(1 + small(width, 1),))
        x = build.add("shift", x, weights=(small(width, 1),))
        return build.add("transpose", x, perm=(0, 2, 1))

    def parts(x: Node, perm: tuple[int, ...]) -> Node:
        split = build.reshape(x, (1, tokens, heads, width // heads))
        return build.add("transpose", split, perm=perm)

    def attention(x: Node) -> Node:
        query = parts(linear(x, width), (0, 2, 1, 3))
        key, value = parts(linear(x, width), (0, 2, 3, 1)), parts(linear(x, width), (0, 2, 1, 3))
        scores = build.add("matmul", query, key)
        scores = build.add("scale", scores, weights=(np.asarray((width // heads) ** -0.5),))
        mixed = build.add("matmul", build.add("softmax", scores, axis=3), value)
        mixed = build.add("transpose", mixed, perm=(0, 2, 1, 3))
        return linear(build.reshape(mixed, (1, tokens, width)), width)

    pixels = build.input((1, 3, side, side))
    x = build.add(
        "conv", pixels, weights=(normal(width, 3, patch, patch), small(width)),
        stride=(patch, patch), dilation=(1, 1), padding=((0, 0), (0, 0)), groups=1,
    )  # fmt: skip
    x = build.add("transpose", build.reshape(x, (1, width, tokens - 1)), perm=(0, 2, 1))
    x = build.add("concat", build.constant(known(small(1, 1, width))), x, axis=1)
    x = build.add("shift", x, weights=(small(tokens, width),))
    for _ in range(layers):
        x = build.add("add", attention(norm(x)), x)
        x = build.add("add", linear(build.add("relu", linear(norm(x), 2 * width)), width), x)
    mean = build.add("sum", x, axes=(1,))
    mean = build.add("scale", mean, weights=(np.asarray(1 / tokens),))
    found = linear(build.reshape(mean, (1, width)), classes)
    ports = (Port(pixels.name, pixels.shape),), (Port(found.name, found.shape),)
    return build.graph(found, *ports)
