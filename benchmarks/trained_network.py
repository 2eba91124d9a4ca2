"""A network of the shape of `large`, trained on scikit-learn's digits so that it can be proved.

The digits are scaled to 3×32×32: each of the 8×8 pixels becomes a square of 4×4 in three equal
channels. Training minimises `κ·loss(x) + (1 − κ)·loss(worst scores that intervals allow)`, in
boxes whose radius grows to its full size while κ falls to 1/2 (arXiv 1810.12715).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from certify import digits
from conv_networks import large
from torch import Tensor, nn
from torch.nn import functional

import boundmesh

CLASSES = 10
SIDE = 32
FEW = 360
"""So many digits, the last ones, are kept for tests."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    wide     the channels of its first convolution; 64 for `large`
    radius   the radius of the boxes in the end
    epochs   passes over the images, at most
    seconds  the time after which the schedule ends, even with fewer epochs
    seed     the seed of weights and batches
    """

    wide: int
    radius: float
    epochs: int
    seconds: float
    seed: int


@dataclass(frozen=True)
class Data:
    """Images `[N, 3, 32, 32]` in [0, 1] and their labels `[N]`."""

    x: Tensor
    y: Tensor


def images(source: Path | None, device: torch.device) -> tuple[Data, Data]:
    """Return the images to train with and those to test with."""
    small, labels = digits(source)
    x = torch.from_numpy(small).repeat_interleave(SIDE // 8, 2).repeat_interleave(SIDE // 8, 3)
    x, y = x.repeat(1, 3, 1, 1).to(device), torch.from_numpy(np.asarray(labels)).long().to(device)
    return Data(x[:-FEW], y[:-FEW]), Data(x[-FEW:], y[-FEW:])


def train(chosen: Training, data: Data, tell: Tell) -> nn.Module:
    """Train a network; its share of the schedule is that of epochs or of time, whichever is more.

    The bounds in training count no rounding: they shape the network and prove nothing.
    """
    torch.manual_seed(chosen.seed)
    module = large(chosen.wide, CLASSES).to(data.x.device).train(False)
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    begun = time.perf_counter()
    share, epoch = 0.0, 0
    while share < 1:
        spent = time.perf_counter() - begun
        share = max(epoch / chosen.epochs, spent / chosen.seconds)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1.0 if share < 0.7 else 0.3 if share < 0.9 else 0.1)
        # The first tenth is plain training; from the middle on boxes have their full size.
        grown = min(1.0, max(0.0, (share - 0.1) / 0.4))
        total = 0.0
        for places in torch.randperm(len(data.x)).split(128):
            loss = loss_of(module, data, places.to(data.x.device), grown, chosen.radius)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            total += float(loss.detach()) * len(places)
        epoch += 1
        if epoch % 10 == 0 or share >= 1:
            mean = total / len(data.x)
            tell(
                f"epoch {epoch}, {spent:.0f} s: loss {mean:.3f}, radius {grown * chosen.radius:.4f}"
            )
    return module.requires_grad_(False)


def loss_of(module: nn.Module, data: Data, places: Tensor, grown: float, radius: float) -> Tensor:
    """Return the loss of a batch for boxes of `grown · radius`."""
    x, y = data.x[places], data.y[places]
    plain = functional.cross_entropy(module(x), y)
    if not grown:
        return plain
    ends = (x - grown * radius).clamp(0, 1), (x + grown * radius).clamp(0, 1)
    rows = margin_rows(y)
    found = boundmesh.bounds(module, ends, method="ibp", rows=rows, differentiable=True)
    kappa = 1 - grown / 2
    return kappa * plain + (1 - kappa) * functional.cross_entropy(-found.lower, y)


def margin_rows(labels: Tensor) -> Tensor:
    """Return the rows `score(label) − score(class)`, `[N, classes, classes]`."""
    eye = torch.eye(CLASSES, device=labels.device)
    return eye[labels].unsqueeze(1) - eye.unsqueeze(0)


@torch.no_grad()
def accuracy(module: nn.Module, data: Data) -> float:
    return float((module(data.x).argmax(1) == data.y).float().mean())


def network_at(
    file: Path, chosen: Training, source: Path | None, device: torch.device, tell: Tell
) -> nn.Module:
    """Return the trained network of a file; train it, and write the file, where there is none."""
    if file.exists():
        found = torch.load(file, weights_only=True, map_location=device)
        module = large(found["wide"], CLASSES).to(device).eval()
        module.load_state_dict(found["weights"])
        return module.requires_grad_(False)
    training, test = images(source, device)
    module = train(chosen, training, tell)
    tell(
        f"right on {accuracy(module, training):.1%} of training and {accuracy(module, test):.1%} "
        "of test images"
    )
    torch.save({"wide": chosen.wide, "weights": module.state_dict()}, file)
    return module
