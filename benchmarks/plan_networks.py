"""Twelve random networks of many kinds, for the comparison of plans with measured peaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from networks import mlp
from torch import Tensor, nn

from boundmesh.graph.graph import Graph
from boundmesh.read.torch_module import from_torch


class Block(nn.Module):
    """A residual block of two convolutions 3×3; a convolution 1×1 where the shape changes."""

    def __init__(self, wide: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(wide, out, 3, stride, 1)
        self.second = nn.Conv2d(out, out, 3, 1, 1)
        same = stride == 1 and wide == out
        self.beside = nn.Identity() if same else nn.Conv2d(wide, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.beside(x))


class Beside(nn.Module):
    """A residual block of two linear layers."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, wide))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.inner(x))


class Encoder(nn.Module):
    """An encoder layer of a transformer: attention and two linear layers, with sums around both."""

    def __init__(self, wide: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.mix = (nn.Linear(wide, wide) for _ in range(4))
        self.inner = nn.Sequential(nn.Linear(wide, hidden), nn.ReLU(), nn.Linear(hidden, wide))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._divided(part(x)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        mixed = (torch.softmax(scores, -1) @ value).transpose(1, 2).flatten(2)
        x = x + self.mix(mixed)
        found: Tensor = x + self.inner(x)
        return found

    def _divided(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


def residual(first: int, blocks: list[Block], flat: int, *dense: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, first, 3, 1, 1), nn.ReLU(), *blocks, nn.Flatten()]
    for place, out in enumerate(dense):
        layers += [nn.ReLU()] * (place > 0) + [nn.Linear(flat, out)]
        flat = out
    return nn.Sequential(*layers)


def chain(channels: int, convolutions: list[tuple[int, int]], flat: int, *dense: int) -> nn.Module:
    layers: list[nn.Module] = []
    for out, stride in convolutions:
        layers += [nn.Conv2d(channels, out, 3, stride, 1), nn.ReLU()]
        channels = out
    layers.append(nn.Flatten())
    for place, out in enumerate(dense):
        layers += [nn.ReLU()] * (place > 0) + [nn.Linear(flat, out)]
        flat = out
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Kind:
    """A network, made when it is needed, and the radius of the box around its input."""

    make: Callable[[], tuple[Graph, np.ndarray]]
    radius: float


def exported(make: Callable[[], nn.Module], *shape: int) -> Callable[[], tuple[Graph, np.ndarray]]:
    def graph() -> tuple[Graph, np.ndarray]:
        torch.manual_seed(42)
        module = make()
        torch.manual_seed(7)
        x = torch.rand(1, *shape)
        return from_torch(module, x), x.numpy()

    return graph


def small() -> nn.Module:
    return residual(16, [Block(16, 32, 2), Block(32, 32), Block(32, 32, 2), Block(32, 32)],
                    32 * 64, 100, 10)  # fmt: skip


def large() -> nn.Module:
    blocks = [Block(64, 64, 2), Block(64, 64), Block(64, 128, 2), Block(128, 128)]
    return residual(64, [*blocks, Block(128, 128, 2), Block(128, 128)], 128 * 16, 100)


def vgg() -> nn.Module:
    return chain(3, [(32, 1), (32, 2), (64, 1), (64, 2), (128, 1), (128, 2)], 128 * 64, 100)


def tiny_residual() -> nn.Module:
    return residual(4, [Block(4, 6, 2), Block(6, 6)], 6 * 64, 20, 5)


def pools() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def down_and_up() -> nn.Module:
    """Return an encoder and decoder whose outputs are scores of the places of an image."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 2, 2), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.Flatten(),
    )  # fmt: skip


KINDS = {
    "mlp 1024x4": Kind(lambda: mlp(784, *[1024] * 4, 10), 0.02),
    "mlp 4096x4": Kind(lambda: mlp(784, *[4096] * 4, 10), 0.02),
    "mlp 8192x4": Kind(lambda: mlp(784, *[8192] * 4, 10), 0.02),
    "mlp 2048x8": Kind(lambda: mlp(784, *[2048] * 8, 10), 0.02),
    "mlp 512x16": Kind(lambda: mlp(784, *[512] * 16, 10), 0.02),
    "residual mlp": Kind(
        exported(
            lambda: nn.Sequential(
                nn.Linear(784, 1024), nn.ReLU(), Beside(1024), Beside(1024), nn.Linear(1024, 10)
            ),
            784,
        ),
        0.01,
    ),
    "tanh mlp": Kind(
        exported(
            lambda: nn.Sequential(
                nn.Linear(784, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 10)
            ),
            784,
        ),
        0.01,
    ),
    "conv digits": Kind(
        exported(lambda: chain(1, [(16, 2), (32, 2)], 32 * 49, 100, 10), 1, 28, 28), 0.02
    ),
    "resnet small": Kind(exported(small, 3, 32, 32), 1 / 500),
    "resnet large": Kind(exported(large, 3, 32, 32), 1 / 500),
    "vgg": Kind(exported(vgg, 3, 64, 64), 1 / 1000),
    "transformer": Kind(exported(lambda: Encoder(64, 4, 128), 16, 64), 0.001),
}

# Smaller ones of the same kinds, for CPUs.
SMALL = {
    "mlp 256x4": Kind(lambda: mlp(784, *[256] * 4, 10), 0.02),
    "mlp 1024x3": Kind(lambda: mlp(784, *[1024] * 3, 10), 0.02),
    "mlp 64x12": Kind(lambda: mlp(784, *[64] * 12, 10), 0.02),
    "residual mlp 128": Kind(
        exported(
            lambda: nn.Sequential(
                nn.Linear(64, 128), nn.ReLU(), Beside(128), Beside(128), nn.Linear(128, 10)
            ),
            64,
        ),
        0.01,
    ),
    "tanh mlp 128": Kind(
        exported(
            lambda: nn.Sequential(
                nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10)
            ),
            64,
        ),
        0.01,
    ),
    "conv digits": KINDS["conv digits"],
    "resnet tiny": Kind(exported(tiny_residual, 3, 16, 16), 1 / 100),
    "vgg tiny": Kind(
        exported(lambda: chain(3, [(8, 1), (8, 2), (16, 1), (16, 2)], 16 * 16, 10), 3, 16, 16),
        1 / 100,
    ),
    "transformer tiny": Kind(exported(lambda: Encoder(16, 2, 32), 5, 16), 0.001),
    "max pools": Kind(exported(pools, 3, 16, 16), 1 / 100),
    "down and up": Kind(exported(down_and_up, 3, 16, 16), 1 / 100),
    "gelu and norms": Kind(
        exported(
            lambda: nn.Sequential(
                nn.Linear(32, 128),
                nn.LayerNorm(128),
                nn.GELU(),
                nn.Linear(128, 128),
                nn.Sigmoid(),
                nn.Linear(128, 5),
            ),
            32,
        ),
        0.001,
    ),
}
