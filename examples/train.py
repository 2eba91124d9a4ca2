"""Makes the networks and properties in examples/digits: small classifiers of handwritten digits.

    pip install --constraint constraints.txt 'boundmesh[examples]'
    python examples/train.py                  # half a minute; writes examples/digits

The images are scikit-learn's: 1 797 digits of 8×8 pixels, scaled here to [0, 1]. Training is
adversarial, so that small changes of an image provably leave its digit as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

DIGITS = Path(__file__).parent / "digits"
IMAGE = 1594
"""The image the properties are about: a digit that no network was trained on."""
RADII = {"near": 0.1, "far": 0.3}
"""How far every pixel may move: `near` is proved, `far` refuted."""


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.inner(x))


def networks() -> dict[str, nn.Module]:
    """An MLP, a convolutional and a residual network, each from [1, 1, 8, 8] to 10 scores."""
    return {
        "mlp": nn.Sequential(
            nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(),
            nn.Linear(48, 10),
        ),
        "conv": nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 4, stride=2, padding=1),
            nn.ReLU(), nn.Flatten(), nn.Linear(12 * 4 * 4, 10),
        ),
        "residual": nn.Sequential(
            nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.ReLU(), Residual(8), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(8 * 2 * 2, 10),
        ),
    }  # fmt: skip


def worst_near(model: nn.Module, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """Images within `radius` of the given ones on which the loss is high (two gradient steps)."""
    shift = torch.empty_like(images).uniform_(-radius, radius)
    for _ in range(2):
        shift.requires_grad_()
        loss = functional.cross_entropy(model((images + shift).clamp(0, 1)), labels)
        (slope,) = torch.autograd.grad(loss, shift)
        shift = (shift.detach() + radius * slope.sign()).clamp(-radius, radius)
    return (images + shift).clamp(0, 1)


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Adversarial training with Adam; weight decay keeps bounds tight."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        radius = 0.1 * min(1.0, 2 * epoch / epochs)
        for batch in torch.randperm(len(images)).split(100):
            near = worst_near(model, images[batch], labels[batch], radius)
            optimizer.zero_grad()
            functional.cross_entropy(model(near), labels[batch]).backward()
            optimizer.step()
        schedule.step()


def export(model: nn.Module, path: Path) -> None:
    """Write the network as ONNX, weights inside."""
    program = torch.onnx.export(
        model.eval(), (torch.zeros(1, 1, 8, 8),), input_names=["image"], output_names=["scores"],
        dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    assert program is not None
    # The exporter notes where in which file of whose machine each node was written.
    for node in program.model.graph:
        node.metadata_props.clear()
    program.model.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    program.save(path)


def robustness(image: np.ndarray, label: int, radius: float) -> str:
    """VNN-LIB 2.0: an image whose pixels moved by at most `radius` is given another digit."""
    lower, upper = np.clip(image - radius, 0, 1), np.clip(image + radius, 0, 1)
    lines = [
        f"; Each pixel of a handwritten {label} moves by at most {radius}, within [0, 1].",
        f"; Some other digit scores at least as high as {label}:",
        "; unsat means that this never happens, sat that it does, at the point shown.",
        "(vnnlib-version <2.0>)",
        "(declare-network digits",
        "  (declare-input X Real [1,1,8,8])",
        "  (declare-output Y Real [1,10]))",
        "",
    ]
    for row, column in np.ndindex(8, 8):
        pixel = f"X[0,0,{row},{column}]"
        low, high = lower[row, column], upper[row, column]
        lines.append(f"(assert (and (>= {pixel} {low:.6f}) (<= {pixel} {high:.6f})))")
    others = [f"  (>= Y[0,{digit}] Y[0,{label}])" for digit in range(10) if digit != label]
    return "\n".join([*lines, "", "(assert (or", *others, "))", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DIGITS, help="folder to write to")
    parser.add_argument("--epochs", type=int, default=60)
    out, epochs = (arguments := parser.parse_args()).out, arguments.epochs
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    for name, model in networks().items():
        train(model, images[:1500], labels[:1500], epochs)
        with torch.no_grad():
            right = (model(images[1500:]).argmax(1) == labels[1500:]).float().mean()
        export(model, out / f"{name}.onnx")
        print(f"{name}: {right:.1%} of 297 unseen digits right")
    np.save(out / "image.npy", images[IMAGE].numpy()[None])
    for name, radius in RADII.items():
        text = robustness(digits.images[IMAGE] / 16, int(labels[IMAGE]), radius)
        (out / f"{name}.vnnlib").write_text(text)


if __name__ == "__main__":
    main()
