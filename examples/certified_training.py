"""Trains a classifier so that its robustness can be certified, and compares it with a plain one.

    pip install --constraint constraints.txt 'boundmesh[examples]'
    python examples/certified_training.py
    python examples/certified_training.py --seeds 3  # mean, least and most of three networks each
    python examples/certified_training.py --choose   # how the number of epochs was chosen

Both networks read scikit-learn's digits, 8×8 pixels scaled to [0, 1]. The certified one minimises
the loss of the worst scores that bounds allow in a box around each image (CROWN-IBP, arXiv
1906.06316): `κ·loss(x) + (1 − κ)·loss(margins)`, while the box grows from a point to its full size
and κ falls from 1 to 1/2. Bounds in training count no rounding. What is printed as certified is
proved afterwards by `boundmesh.bounds`, which does. Test images choose nothing: `--choose` compares
numbers of epochs on a fifth of the training images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

import boundmesh

CLASSES = 10
RADII = (0.05, 0.1)
EPOCHS = (50, 100, 200)


@dataclass(frozen=True)
class Data:
    """Images `[N, 1, 8, 8]` in [0, 1] and their labels `[N]`."""

    x: Tensor
    y: Tensor


def digits() -> tuple[Data, Data]:
    """Load scikit-learn's digits: 1437 images to train with, 360 to test with."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=360, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = parts

    def data(x: np.ndarray, y: np.ndarray) -> Data:
        return Data(torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y))

    return data(train_x, train_y), data(test_x, test_y)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, CLASSES),
    )  # fmt: skip


def margin_rows(labels: Tensor) -> Tensor:
    """Return the rows `score(label) − score(class)`, `[N, classes, classes]`."""
    eye = torch.eye(CLASSES)
    return eye[labels].unsqueeze(1) - eye.unsqueeze(0)


def worst_loss(module: nn.Module, data: Data, eps: float, method: str) -> Tensor:
    """Return the cross entropy of the worst scores that bounds allow within `eps` of each image."""
    ends = (data.x - eps).clamp(0, 1), (data.x + eps).clamp(0, 1)
    margins = boundmesh.bounds(
        module, ends, method=method, rows=margin_rows(data.y), sides="lower", differentiable=True
    ).lower
    return functional.cross_entropy(-margins, data.y)


def train(module: nn.Module, data: Data, eps: float, epochs: int, method: str) -> float:
    """Train the module for boxes of radius `eps` (0: plain training); return seconds per epoch."""
    optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [epochs * 7 // 10, epochs * 9 // 10], 0.3
    )
    warm, full = epochs // 10, epochs // 2
    began = time.perf_counter()
    for epoch in range(epochs):
        share = min(1.0, max(0.0, (epoch - warm) / max(1, full - warm)))
        kappa = 1 - share / 2
        for places in torch.randperm(len(data.x)).split(128):
            batch = Data(data.x[places], data.y[places])
            loss = functional.cross_entropy(module(batch.x), batch.y)
            if eps and share:
                worst = worst_loss(module, batch, share * eps, method)
                loss = kappa * loss + (1 - kappa) * worst
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return (time.perf_counter() - began) / epochs


@torch.no_grad()
def clean_accuracy(module: nn.Module, data: Data) -> float:
    return float((module(data.x).argmax(1) == data.y).float().mean())


def certified_accuracy(module: nn.Module, data: Data, eps: float) -> float:
    """Return the share of images of which bounds prove, with rounding counted, that every image
    within `eps` gets the same, right label."""
    still = np.arange(len(data.x))
    keep = ~torch.eye(CLASSES, dtype=torch.bool)[data.y]
    rows = margin_rows(data.y)[keep].reshape(-1, CLASSES - 1, CLASSES).numpy()
    boxes = [boundmesh.Box.around(x[None], eps, clip=(0, 1)) for x in data.x.double().numpy()]
    for method in ("crown-ibp", "crown"):
        if len(still):
            mine = [boxes[place] for place in still]
            found = boundmesh.bounds(module, mine, method=method, rows=rows[still])
            still = still[[not (each.lower > 0).all() for each in found]]
    return 1 - len(still) / len(data.x)


def choose(training: Data, method: str) -> None:
    """Print how many held-out training images are certified after each number of `EPOCHS`."""
    places = torch.randperm(len(training.x), generator=torch.Generator().manual_seed(0))
    held, kept = places[: len(places) // 5], places[len(places) // 5 :]
    rest = Data(training.x[kept], training.y[kept])
    held_out = Data(training.x[held], training.y[held])
    print(f"{'epochs':>8}" + "".join(f"{f'ε = {eps}':>12}" for eps in RADII))
    for epochs in EPOCHS:
        figures = ""
        for eps in RADII:
            torch.manual_seed(0)
            module = network()
            train(module, rest, eps * 1.1, epochs, method)
            figures += f"{certified_accuracy(module, held_out, eps):12.1%}"
        print(f"{epochs:8}{figures}", flush=True)


def main() -> None:
    parse = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parse.add_argument("--epochs", type=int, default=200)
    parse.add_argument("--method", default="ibp", choices=["ibp", "crown-ibp", "crown"])
    parse.add_argument("--images", type=int, default=360, help="how many test images to certify")
    parse.add_argument("--seeds", type=int, default=1, help="how many networks of each training")
    parse.add_argument(
        "--choose", action="store_true", help="compare numbers of epochs on held-out images"
    )
    options = parse.parse_args()
    training, test = digits()
    if options.choose:
        choose(training, options.method)
        return
    few = Data(test.x[: options.images], test.y[: options.images])
    width = 24 if options.seeds > 1 else 12
    names = ["accuracy", *(f"ε = {r}" for r in RADII)]
    print(f"{'training':16}" + "".join(f"{name:>{width}}" for name in names) + f"{'s/epoch':>10}")
    for eps in (0.0, *RADII):
        figures, seconds = [], []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            module = network()
            seconds.append(train(module, training, eps * 1.1, options.epochs, options.method))
            certified = [certified_accuracy(module, few, r) for r in RADII]
            figures.append([clean_accuracy(module, test), *certified])
        name = f"{options.method}, ε = {eps}" if eps else "plain"
        cells = "".join(f"{spread(column):>{width}}" for column in zip(*figures, strict=True))
        print(f"{name:16}{cells}{sum(seconds) / len(seconds):10.2f}", flush=True)


def spread(shares: Sequence[float]) -> str:
    """Write a share, or the mean of several with the least and the most of them."""
    mean = f"{sum(shares) / len(shares):.1%}"
    return mean if len(shares) == 1 else f"{mean} ({min(shares):.1%}–{max(shares):.1%})"


if __name__ == "__main__":
    main()
