"""Attention and recurrent modules with PyTorch's defaults, read as Graphs and bounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import boundmesh
from boundmesh.graph.forward import forward, tensors

RADIUS = 0.02


class PatchEncoder(nn.Module):
    """A small vision transformer: patches and a token of the class, one block, the token's scores.

    It is built as torchvision builds `vit_b_16`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token, self.places = (nn.Parameter(torch.randn(1, n, 8)) for n in (1, 5))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(8, eps=1e-6) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1) + self.places
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        result: Tensor = self.head(self.norms[2](x + self.mlp(self.norms[1](x)))[:, 0])
        return result


class ConvNeXtBlock(nn.Module):
    """A 7×7 convolution of each channel, LayerNorm over channels, GELU, a scale, a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 4, 7, padding=3, groups=4)
        self.norm = nn.LayerNorm(4, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 4))
        self.scale = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x + self.scale * y


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16), (3, 1, 8)),
    "encoder layer, norm first": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=True),
        (3, 1, 8),
    ),
    "lstm": (lambda: nn.LSTM(4, 5), (3, 1, 4)),
    "lstm, both directions": (
        lambda: nn.LSTM(4, 3, bidirectional=True, batch_first=True),
        (1, 2, 4),
    ),
    "gru": (lambda: nn.GRU(4, 5), (3, 1, 4)),
    "rnn": (lambda: nn.RNN(4, 5), (3, 1, 4)),
    "vision transformer": (PatchEncoder, (1, 3, 8, 8)),
    "convnext block": (ConvNeXtBlock, (1, 4, 5, 5)),
}


def outputs_of(module: nn.Module, x: Tensor) -> Tensor:
    """Return all outputs of a module, flat; a recurrent one gives a tuple of tuples."""
    found = module(x)
    parts: list[Tensor] = []
    for each in found if isinstance(found, tuple) else (found,):
        parts += each if isinstance(each, tuple) else (each,)
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_read_as_it_computes_and_its_bounds_contain_samples(name: str) -> None:
    torch.manual_seed(0)
    build, shape = MODULES[name]
    module, center = build().eval(), torch.rand(shape)
    graph = boundmesh.from_torch(module, center)
    with torch.no_grad():
        points = [center + RADIUS * (2 * torch.rand(shape).round() - 1) for _ in range(20)]
        sampled = torch.stack([outputs_of(module, x) for x in points])
    flat = torch.stack(points).reshape(len(points), *graph[graph.input].shape)
    mine = forward(graph, tensors(graph), flat).flatten(1)
    assert torch.allclose(mine, sampled, atol=1e-5, rtol=1e-4)
    middle = center.double().numpy()
    box = boundmesh.Box(middle - RADIUS * 1.001, middle + RADIUS * 1.001)
    widths = {}
    for method in ("ibp", "crown"):
        found = boundmesh.bounds(graph, box, method=method)
        # The samples are float32, and the bounds hold for real arithmetic.
        near = 1e-5 * (1 + sampled.abs().numpy())
        assert (found.lower - near <= sampled.numpy()).all(), method
        assert (sampled.numpy() <= found.upper + near).all(), method
        widths[method] = np.mean(found.upper - found.lower)
    assert widths["crown"] <= widths["ibp"]
