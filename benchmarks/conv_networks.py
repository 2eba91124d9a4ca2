"""The convolutional networks of `conv.py`, with PyTorch's default weights of seed 42."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

import boundmesh
from boundmesh.graph.graph import Graph


class Block(nn.Module):
    """conv 3×3, ReLU, conv 3×3, plus the input or a 1×1 convolution of it, ReLU."""

    def __init__(self, wide: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(wide, out, 3, stride, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        same = wide == out and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(wide, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (self.second(self.first(x).relu()) + self.skip(x)).relu()
        return result


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        Block(16, 32, 2), Block(32, 32), Block(32, 32, 2), Block(32, 32),
        nn.Flatten(), nn.Linear(32 * 8 * 8, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


def large(wide: int = 64, outputs: int = 100) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, wide, 3, padding=1), nn.ReLU(),
        Block(wide, wide, 2), Block(wide, wide),
        Block(wide, 2 * wide, 2), Block(2 * wide, 2 * wide),
        Block(2 * wide, 2 * wide, 2), Block(2 * wide, 2 * wide),
        nn.Flatten(), nn.Linear(2 * wide * 4 * 4, outputs),
    )  # fmt: skip


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    wide = 3
    for out, stride in ((32, 1), (32, 2), (64, 1), (64, 2), (128, 1), (128, 2)):
        layers += [nn.Conv2d(wide, out, 3, stride, padding=1), nn.ReLU()]
        wide = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 8 * 8, 100))


def resnet18() -> nn.Module:
    """ResNet-18 (arXiv 1512.03385) whose batch norms are folded into its convolutions."""
    blocks: list[nn.Module] = []
    wide = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(wide, out, stride), Block(out, out)]
        wide = out
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1),
        *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network, the shape of its image, and the radius of the box around it."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    radius: Fraction


CASES = {
    "small": Case(small, (1, 3, 32, 32), Fraction(1, 500)),
    "large": Case(large, (1, 3, 32, 32), Fraction(1, 500)),
    "vgg": Case(vgg, (1, 3, 64, 64), Fraction(1, 1000)),
    "resnet18": Case(resnet18, (1, 3, 224, 224), Fraction(1, 100_000)),
}


def conv_network(name: str) -> tuple[Graph, np.ndarray]:
    """Build a network and its image, `torch.rand` after `manual_seed(7)`."""
    case = CASES[name]
    torch.manual_seed(42)
    module = case.build().eval()
    torch.manual_seed(7)
    image = torch.rand(case.shape)
    return boundmesh.from_torch(module, image), image.numpy()
