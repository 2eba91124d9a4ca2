"""Where Triton's kernels can be tested: on a GPU, and where TRITON_INTERPRET=1 has Triton interpret
them on the CPU."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from boundmesh.kernels import launcher

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

needs_kernels = pytest.mark.skipif(
    not launcher.available() or not (INTERPRETED or torch.cuda.is_available()),
    reason="there is no CUDA device with Triton",
)


def close(found: Tensor, expected: Tensor) -> None:
    """Up to what float32 rounds."""
    torch.testing.assert_close(found.double().cpu(), expected.double().cpu(), rtol=1e-4, atol=1e-4)
