"""Results of small networks, each computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import boundmesh
from boundmesh import Box, Case, Clause, Property
from boundmesh.certify.result import Certification
from boundmesh.property import Atom
from boundmesh.result import Result

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


def of_digits(network: str, spec: str, **options: object) -> Result:
    return boundmesh.verify(DIGITS / f"{network}.onnx", DIGITS / f"{spec}.vnnlib", **options)


@pytest.fixture(scope="session")
def results() -> dict[str, Result]:
    """A result for each verdict, with images and without."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 12), torch.nn.ReLU(), torch.nn.Linear(12, 12), torch.nn.ReLU(),
        torch.nn.Linear(12, 3),
    )  # fmt: skip
    box = Box(np.array([[-1.0, 0, 0, 0.25, -2]]), np.array([[1.0, 1, 0.5, 0.25, 2]]))
    middle = torch.tensor([[0.0, 0.5, 0.25, 0.25, 0.0]])
    there = module(middle)[0, 0].item()
    network = boundmesh.from_torch(module, middle)
    # y₀ ≥ its value at the middle: the middle itself is a counterexample.
    low = Property((Case(box, [Clause([Atom((), ((0, -1),), -there + 0.01)])]),), 5, 3)
    high = Property((Case(box, [Clause([Atom((), ((0, -1),), -1000)])]),), 5, 3)
    near = Property((Case(box, [Clause([Atom((), ((0, -1),), -0.28)])]),), 5, 3)
    return {
        "image-unsat": of_digits("conv", "near"),
        "image-sat": of_digits("conv", "far"),
        "image-unknown": of_digits("residual", "near", method="crown-ibp"),
        "table-sat": boundmesh.verify(network, low),
        "table-unsat": boundmesh.verify(network, high),
        "table-split": boundmesh.verify(network, near, timeout=20),
        "timed-out": of_digits("residual", "near", timeout=1e-6),
        "empty": boundmesh.verify(network, Property((), 5, 3)),
    }


@pytest.fixture(scope="session")
def certification() -> Certification:
    """Images near one image, some of which change their class within the radius."""
    return certified()


@pytest.fixture(scope="session")
def radii() -> Certification:
    """The largest radii of the same images."""
    return certified(largest=True, tolerance=0.01)


@pytest.fixture(scope="session")
def ended() -> Certification:
    """The same images, without the time to certify any."""
    return certified(timeout=1e-3)


def certified(**more: object) -> Certification:
    generator = np.random.default_rng(0)
    image = np.load(DIGITS / "image.npy").reshape(1, 8, 8)
    noise = generator.normal(size=(8, 1, 8, 8)) * np.linspace(0, 0.6, 8).reshape(-1, 1, 1, 1)
    images = np.clip(image + noise, 0, 1)
    options = {"clip": (0, 1), "iterations": 2, "timeout_per_input": 0.5, **more}
    labels = np.full(len(images), 2)
    return boundmesh.certify(DIGITS / "conv.onnx", images, labels, eps="32/255", **options)
