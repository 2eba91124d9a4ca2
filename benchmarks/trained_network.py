"""A network of the shape of `large`, trained on scikit-learn's digits so that it can be proved.

The digits are scaled to 3×32×32: each of the 8×8 pixels becomes a square of 4×4 in three equal
channels. Training minimises `loss(x) + loss(worst scores that intervals allow)` in boxes around the
images (arXiv 1810.12715).
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
LEAST = 1e-10
"""The radius in the beginning."""
ALLOWED = 1.0
"""The radius grows while the loss of the worst scores is smaller than this."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    wide     the channels of its first convolution; 64 for `large`
    radius   the largest radius of the boxes
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

    Intervals of a wide and deep network explode at first. So the radius starts at next to nothing,
    and each batch makes it larger if the worst scores still give a small loss, else smaller. The
    bounds in training count no rounding: they shape the network and prove nothing.
    """
    torch.manual_seed(chosen.seed)
    module = large(chosen.wide, CLASSES).to(data.x.device).train(False)
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    begun = time.perf_counter()
    share, epoch, radius = 0.0, 0, LEAST
    while share < 1:
        spent = time.perf_counter() - begun
        share = max(epoch / chosen.epochs, spent / chosen.seconds)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1.0 if share < 0.7 else 0.3 if share < 0.9 else 0.1)
        found = torch.zeros(2)
        for places in torch.randperm(len(data.x)).split(128):
            plain, worst = losses(module, data, places.to(data.x.device), radius)
            optimiser.zero_grad()
            (plain + worst).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            both = torch.stack([plain, worst]).detach().cpu()
            found += both * len(places) / len(data.x)
            # A radius that only grew would not come back from weights that a step spoiled.
            radius = min(chosen.radius, radius * (1.1 if float(both[1]) < ALLOWED else 0.95))
        epoch += 1
        if epoch % 10 == 0 or share >= 1:
            plain, worst = found.tolist()
            tell(f"epoch {epoch}, {spent:.0f} s: loss {plain:.3f}, {worst:.3f} at {radius:.2g}")
    return module.requires_grad_(False)


def losses(module: nn.Module, data: Data, places: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch, and that of the worst scores within a radius."""
    x, y = data.x[places], data.y[places]
    ends = (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)
    rows = margin_rows(y)
    found = boundmesh.bounds(module, ends, method="ibp", rows=rows, differentiable=True)
    worst = functional.cross_entropy(-found.lower, y)
    return functional.cross_entropy(module(x), y), worst


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
