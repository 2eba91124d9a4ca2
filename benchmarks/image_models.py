"""Vision transformers and ConvNeXt as torchvision defines them, in any size.

`vit_b_16` and `convnext_tiny` come from torchvision where it is installed. Otherwise they are built
here from their papers (arXiv 2010.11929, 2201.03545), layer for layer the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    """Attention and a network of two layers, each after a normalisation and beside a shortcut."""

    def __init__(self, heads: int, wide: int, hidden: int) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(wide, eps=1e-6)
        self.attention = nn.MultiheadAttention(wide, heads, batch_first=True)
        self.second_norm = nn.LayerNorm(wide, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(wide, hidden), nn.GELU(), nn.Linear(hidden, wide))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first_norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        result: Tensor = x + self.mlp(self.second_norm(x))
        return result


class VisionTransformer(nn.Module):
    """Patches of an image and a token of the class, through encoder blocks; the token's scores."""

    def __init__(
        self,
        side: int = 224,
        patch: int = 16,
        blocks: int = 12,
        heads: int = 12,
        wide: int = 768,
        hidden: int = 3072,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, wide, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, wide))
        places = (side // patch) ** 2 + 1
        self.places = nn.Parameter(torch.empty(1, places, wide).normal_(std=0.02))
        self.blocks = nn.Sequential(*(EncoderBlock(heads, wide, hidden) for _ in range(blocks)))
        self.norm = nn.LayerNorm(wide, eps=1e-6)
        self.head = nn.Linear(wide, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).permute(0, 2, 1)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1) + self.places
        result: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return result


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of `[N, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A 7×7 convolution of each channel, a normalisation, two layers at each place, a shortcut."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(wide, wide, 7, padding=3, groups=wide)
        self.norm = nn.LayerNorm(wide, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(wide, 4 * wide), nn.GELU(), nn.Linear(4 * wide, wide))
        self.scale = nn.Parameter(torch.full((wide, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        result: Tensor = x + self.scale * y
        return result


class ConvNeXt(nn.Module):
    """Stages of ConvNeXt blocks; between two stages the image is halved, the channels doubled."""

    def __init__(
        self,
        depths: Sequence[int] = (3, 3, 9, 3),
        wide: int = 96,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, wide, 4, 4), ChannelNorm(wide, eps=1e-6)]
        for stage, depth in enumerate(depths):
            if stage:
                layers += [ChannelNorm(wide, eps=1e-6), nn.Conv2d(wide, 2 * wide, 2, 2)]
                wide *= 2
            layers += [ConvNeXtBlock(wide) for _ in range(depth)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), ChannelNorm(wide, eps=1e-6))
        self.head = nn.Linear(wide, classes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.features(x).flatten(1))
        return result


def of_torchvision(name: str, otherwise: Callable[[], nn.Module]) -> nn.Module:
    """Build torchvision's network of this name with random weights; `otherwise` without it."""
    if find_spec("torchvision") is None:
        return otherwise()
    from torchvision import models

    found: nn.Module = models.get_model(name, weights=None)
    return found


SIDES = {"vit_b_16": 224, "convnext_tiny": 224, "vit_small": 32, "convnext_small": 32}
"""Rows and columns of the images, by network."""

BUILD: dict[str, Callable[[], nn.Module]] = {
    "vit_b_16": lambda: of_torchvision("vit_b_16", VisionTransformer),
    "convnext_tiny": lambda: of_torchvision("convnext_tiny", ConvNeXt),
    "vit_small": lambda: VisionTransformer(32, 8, 2, 2, 16, 32, 10),
    "convnext_small": lambda: ConvNeXt((1, 1), 8, 10),
}
"""Networks by name; those called small are for a CPU."""
