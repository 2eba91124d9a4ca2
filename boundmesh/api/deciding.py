"""Decides a property of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from boundmesh.api.progress import check_progress
from boundmesh.named_options import with_options
from boundmesh.property import Property
from boundmesh.result import Result
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings
from boundmesh.verify import verify as decide

if TYPE_CHECKING:
    from boundmesh.models import Models


def verify(
    model: Models,
    property: Property | str | Path,
    *,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
    **options: Any,
) -> Result:
    """Decide a property of a network: `result.verdict` is Verified, Falsified, Unknown or TimedOut.

    `model` is an ONNX file, a Graph or an nn.Module, or a mapping from the names of several
    networks that a VNN-LIB file declares. `property` is a VNN-LIB file or a Property.
    `options` are fields of Settings and its stages, such as `timeout=60, method="crown",
    device="cuda"`. A program that torchrun starts may also pass `mesh`, which is a Layout or a
    string such as `shards=2`. Raises BoundmeshError for everything that bad input can cause.
    """
    settings = with_options(settings, **options)
    check_progress(progress)
    return decide(model, property, settings=settings, progress=progress)
