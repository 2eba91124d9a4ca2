"""Small classifiers for tests of `certify`, and their inputs."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

import boundmesh
from boundmesh import Graph

CLASSES, SIZE = 3, 10


@cache
def mlp(seed: int = 0) -> nn.Module:
    """A random network with two hidden layers, from `[1, 10]` to 3 scores."""
    torch.manual_seed(seed)
    layers = nn.Linear(SIZE, 12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, CLASSES)
    module = nn.Sequential(*layers).eval()
    with torch.no_grad():
        # Larger weights make classes change nearer to each input.
        for parameter in module.parameters():
            parameter.mul_(2)
    return module


@cache
def smooth(seed: int = 0) -> nn.Module:
    """A random network with tanh."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(SIZE, 8), nn.Tanh(), nn.Linear(8, CLASSES)).eval()


@cache
def conv(seed: int = 0) -> nn.Module:
    """A random convolutional network, from `[1, 2, 4, 4]` to 4 scores."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
    return nn.Sequential(*layers).eval()


def graph_of(module: nn.Module, *shape: int) -> Graph:
    return boundmesh.from_torch(module, torch.zeros(1, *(shape or (SIZE,))))


def inputs(count: int, *shape: int, seed: int = 1) -> np.ndarray:
    """Random inputs from 0 to 1, float32."""
    random = np.random.default_rng(seed)
    return random.random((count, *(shape or (SIZE,)))).astype(np.float32)


def predictions(module: nn.Module, points: np.ndarray) -> np.ndarray:
    """The classes of inputs, in float64."""
    with torch.no_grad():
        scores = module.double()(torch.from_numpy(np.asarray(points, dtype=np.float64)))
    module.float()
    found: np.ndarray = scores.argmax(1).numpy()
    return found
