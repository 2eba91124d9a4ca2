"""The public functions: verify, bounds, load and from_torch with options by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.graph import Graph
from boundmesh.proof.output_bounds import Bounds
from boundmesh.proof.output_bounds import bounds as bound
from boundmesh.property import Ball, Box, Property
from boundmesh.ranges import shown
from boundmesh.read import onnx, torch_module
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings, with_options
from boundmesh.verify import Result
from boundmesh.verify import verify as decide

if TYPE_CHECKING:
    from boundmesh.models import Model


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
    _check_progress(progress)
    return decide(model, property, settings=settings, progress=progress)


def bounds(
    model: Model,
    region: Box | Ball,
    *,
    method: str = "alpha-crown",
    rows: Any = None,
    lines: bool = False,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
    **options: Any,
) -> Bounds:
    """Bounds of the outputs, `lower ≤ f(x) ≤ upper` for every x of the region, or of linear
    functions of them: `rows` `[S, outputs]`, `lower ≤ rows · f(x) ≤ upper`, as an array, a tensor
    or lists.

    `method` is ibp, crown-ibp, crown or alpha-crown; with `lines` the answer also has linear
    functions of x below and above. Options as for `verify`. Raises BoundmeshError for everything
    that bad input can cause.
    """
    settings = with_options(settings, **options)
    _check_progress(progress)
    if not isinstance(lines, bool):
        raise BoundmeshError(f"lines is {shown(lines)}; expected True or False")
    return bound(
        model, region, method=method, rows=rows, lines=lines, settings=settings, progress=progress
    )


def load(path: str | Path) -> Graph:
    """The network in an ONNX file, `.onnx` or `.onnx.gz`; ReadError or UnsupportedError if none."""
    if not isinstance(path, str | Path):
        raise ReadError(f"the path is {shown(path)}; expected the name of an ONNX file")
    return onnx.load(path)


def from_torch(module: torch.nn.Module, example: Any) -> Graph:
    """A PyTorch module as a Graph; `example` is one input, with its batch axis: a tensor, an array
    or lists of numbers; or a tuple of tensors or arrays, one for each input.

    Raises UnsupportedError where the module cannot be translated, ReadError where one of both is
    something else or holds NaN.
    """
    return torch_module.from_torch(module, example)


def _check_progress(progress: Progress) -> None:
    if not isinstance(progress, Progress):
        raise BoundmeshError(
            f"progress is {shown(progress)}; expected an object with the methods stage, update "
            "and warn"
        )
