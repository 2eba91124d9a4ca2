"""The public functions: verify, bounds, load and from_torch with options by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from boundmesh.graph.graph import Graph
from boundmesh.numbers import Bounds
from boundmesh.numbers import bounds as bound
from boundmesh.property import Ball, Box, Property
from boundmesh.read import onnx, torch_module
from boundmesh.report.progress import SILENT, Progress
from boundmesh.settings import Settings, with_options
from boundmesh.verify import Result
from boundmesh.verify import verify as decide

if TYPE_CHECKING:
    from boundmesh.given import Model


def verify(
    model: Model,
    property: Property | str | Path,
    *,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
    **options: Any,
) -> Result:
    """Decide a property of a network: `result.verdict` is Verified, Falsified, Unknown or TimedOut.

    `model` is an ONNX file, a Graph or an nn.Module; `property` a VNN-LIB file or a Property.
    Options are fields of Settings and its stages: `timeout=60, method="crown", device="cuda"`;
    and `mesh`, a Layout or the words of `--mesh`, in a program that torchrun starts.
    Raises BoundmeshError for everything that bad input can cause.
    """
    settings = with_options(settings, **options)
    return decide(model, property, settings=settings, progress=progress)


def bounds(
    model: Model,
    region: Box | Ball,
    *,
    method: str = "alpha-crown",
    rows: np.ndarray | None = None,
    lines: bool = False,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
    **options: Any,
) -> Bounds:
    """Bounds of the outputs, `lower ≤ f(x) ≤ upper` for every x of the region, or of linear
    functions of them: `rows` `[S, outputs]`, `lower ≤ rows · f(x) ≤ upper`.

    `method` is ibp, crown-ibp, crown or alpha-crown; with `lines` the answer also has linear
    functions of x below and above. Options as for `verify`.
    """
    settings = with_options(settings, **options)
    return bound(
        model, region, method=method, rows=rows, lines=lines, settings=settings, progress=progress
    )


def load(path: str | Path) -> Graph:
    """The network in an ONNX file, `.onnx` or `.onnx.gz`; ReadError or UnsupportedError if none."""
    return onnx.load(path)


def from_torch(module: torch.nn.Module, example: torch.Tensor) -> Graph:
    """A PyTorch module as a Graph; `example` is one input, with its batch axis."""
    return torch_module.from_torch(module, example)
