"""Random networks for measurements, their weights in files that all modes share."""

from __future__ import annotations

import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

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
