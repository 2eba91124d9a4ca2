"""The networks whose bounds `bounds_hash.py` digests, and a box for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import boundmesh
from boundmesh import Box, Graph

ROOT = Path(__file__).resolve().parents[1]
REAL = {
    "mnist 256x2": ("mnist_fc", "*256x2*", "*prop_0_0.03*"),
    "acasxu 1_1": ("acasxu", "*run2a_1_1_*", "*prop_1.*"),
    "oval21 base": ("oval21", "*base*", "*base*"),
    "resnet_2b": ("cifar10_resnet", "*2b*", "*/*"),
    "vit": ("vit_2023", "*", "*"),
}
# Begins the names of networks that no file holds; verify compares with ONNX Runtime, so it refuses
# them, and they are not searched.
BUILT = "built "


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
