"""Bounds the outputs of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from boundmesh.api.progress import check_progress
from boundmesh.errors import BoundmeshError
from boundmesh.named_options import with_options
from boundmesh.proof.output_bounds import Bounds
from boundmesh.proof.output_bounds import bounds as bound
from boundmesh.property import Ball, Box
from boundmesh.ranges import shown
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings
from boundmesh.training.bounds import DifferentiableBounds, differentiable_bounds

if TYPE_CHECKING:
    from boundmesh.models import Model

DEFAULT = "default"
"""The method of `bounds` where none is chosen: alpha-crown, or crown-ibp with gradients."""


@overload
def bounds(
    model: Model,
    region: Box | Ball,
    *,
    method: str = "alpha-crown",
    rows: Any = None,
    lines: bool = False,
    settings: Settings = ...,
    progress: Progress = ...,
    **options: Any,
) -> Bounds: ...


@overload
def bounds(
    model: Model,
    region: Sequence[Box | Ball],
    *,
    method: str = "alpha-crown",
    rows: Any = None,
    lines: bool = False,
    settings: Settings = ...,
    progress: Progress = ...,
    **options: Any,
) -> list[Bounds]: ...


@overload
def bounds(
    model: torch.nn.Module,
    region: Any,
    *,
    method: str = ...,
    rows: Any = None,
    differentiable: Literal[True],
    sides: str = "both",
) -> DifferentiableBounds: ...


def bounds(
    model: Model,
    region: Any,
    *,
    method: str = DEFAULT,
    rows: Any = None,
    lines: bool = False,
    differentiable: bool = False,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
    **options: Any,
) -> Any:
    """Bound the outputs of a network: `lower ≤ f(x) ≤ upper` for every x of the region.

    With `rows` `[S, outputs]` (an array, a tensor or lists) linear functions of the outputs are
    bounded instead: `lower ≤ rows · f(x) ≤ upper`. `method` is ibp, crown-ibp, crown or
    alpha-crown (default). With `lines` the result also holds linear functions of x that lie below
    and above. `options` are those of `verify`. The result is a Bounds. For a list or tuple of N
    regions it is a list of Bounds; the regions are then bounded together, and `rows` may be
    `[N, S, outputs]`, with rows of each region's own.

    With `differentiable` the bounds are torch tensors with gradients to the parameters of a module,
    for certified training: `region` is a pair of tensors `[N, *input_shape]`, which may have
    gradients, too, `method` is ibp, crown-ibp (default) or crown, and `sides="lower"` leaves out
    upper bounds. Such bounds are computed in plain floating-point arithmetic, count no rounding,
    and therefore prove nothing.

    Raises BoundmeshError for everything that bad input can cause.
    """
    check_progress(progress)
    for name, value in (("lines", lines), ("differentiable", differentiable)):
        if not isinstance(value, bool):
            raise BoundmeshError(f"{name} is {shown(value)}; expected True or False")
    if differentiable:
        sides = options.pop("sides", "both")
        if lines or options or settings != Settings():
            raise BoundmeshError(
                "bounds with gradients take method, rows and sides; lines and the options of "
                "verify are for bounds without gradients"
            )
        chosen = "crown-ibp" if method == DEFAULT else method
        return differentiable_bounds(model, region, method=chosen, rows=rows, sides=sides)
    settings = with_options(settings, **options)
    several = isinstance(region, list | tuple)
    regions = list(region) if several else [region]
    if not regions:
        return []
    results = bound(
        model,
        regions,
        method="alpha-crown" if method == DEFAULT else method,
        rows=rows,
        lines=lines,
        settings=settings,
        progress=progress,
    )
    return results if several else results[0]
