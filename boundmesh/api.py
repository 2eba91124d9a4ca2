"""The public functions, with options by name: verify, bounds, certify, jacobian and so on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from boundmesh.certify.result import Certification
from boundmesh.certify.story import certify as certify_all
from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.graph import Graph
from boundmesh.jacobian.bounds import jacobian as jacobian
from boundmesh.jacobian.lipschitz import lipschitz as lipschitz
from boundmesh.plan.asked import plan_of
from boundmesh.plan.planning import Plan
from boundmesh.proof.output_bounds import Bounds
from boundmesh.proof.output_bounds import bounds as bound
from boundmesh.property import Ball, Box, Property
from boundmesh.ranges import shown
from boundmesh.read import onnx, torch_module
from boundmesh.read.open_axes import Lengths, OpenAxisError, of_property
from boundmesh.result import Result
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings, with_options
from boundmesh.training.bounds import DifferentiableBounds, differentiable_bounds
from boundmesh.verify import verify as decide

if TYPE_CHECKING:
    from boundmesh.models import Model, Models


DEFAULT = "default"
"""The method of `bounds` where none is chosen: alpha-crown, or crown-ibp with gradients."""


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
    _check_progress(progress)
    return decide(model, property, settings=settings, progress=progress)


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
    _check_progress(progress)
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
    found = bound(
        model,
        regions,
        method="alpha-crown" if method == DEFAULT else method,
        rows=rows,
        lines=lines,
        settings=settings,
        progress=progress,
    )
    return found if several else found[0]


def certify(
    model: Model,
    inputs: Any,
    labels: Any = None,
    *,
    eps: Any,
    norm: Any = math.inf,
    clip: Any = None,
    mean: Any = None,
    std: Any = None,
    largest: bool = False,
    tolerance: Any = None,
    timeout_per_input: float | None = 10.0,
    jobs: int = 1,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
    **options: Any,
) -> Certification:
    """Certify that a classifier gives each input its label however it is changed by at most `eps`.

    The result has a verdict for every input: certified (proved), falsified (a changed input with
    another class is known), misclassified (the input itself has another class) or unknown.

    inputs             `[N, *input_shape]`, an array, a tensor or lists
    labels             `[N]`, the class of each input; None keeps what the network predicts
    eps                the largest change, a number or text such as "8/255", in the units of inputs
    norm               1, 2 or inf: how a change is measured
    clip               the range of inputs, such as (0, 1): changed inputs are cut to it
    mean, std          the network gets `(input − mean) / std`; numbers, or one for each channel
    largest            find the largest certified radius of each input, at most `eps`
    tolerance          how near it must come to the smallest refuted one (default: eps / 256)
    timeout_per_input  the most seconds that the search of one input may take; None for no limit
    jobs               processes that search at the same time, on the CPU

    `options` are those of `verify`; `timeout` limits the whole run, reading included. A verdict
    holds in the arithmetic that `rounding` names, as those of `verify` do. Raises BoundmeshError
    for everything that bad input can cause.
    """
    settings = with_options(settings, **options)
    _check_progress(progress)
    if not isinstance(largest, bool):
        raise BoundmeshError(f"largest is {shown(largest)}; expected True or False")
    return certify_all(
        model,
        inputs,
        labels,
        eps=eps,
        norm=norm,
        clip=clip,
        mean=mean,
        std=std,
        largest=largest,
        tolerance=tolerance,
        timeout_per_input=timeout_per_input,
        jobs=jobs,
        settings=settings,
        progress=progress,
    )


def plan(
    model: Model,
    asked: Property | Box | Ball | str | Path | None = None,
    *,
    mesh: str = "shards=1",
    memory: str | int | None = None,
    unstable: str | float | None = None,
    rows: int | None = None,
    gpus_per_host: int | None = None,
    tflops: float | None = None,
    bandwidth: float | None = None,
    settings: Settings = Settings(),
    **options: Any,
) -> Plan:
    """Predict the memory and the time of bounds, without running them and without a GPU.

    `mesh` is a number of shards or a range such as `shards=1..1024`; `memory` is that of each
    device, such as `80GiB`. `unstable` is the share of unstable neurons, such as `30%`. Without it
    all neurons count as unstable, which gives an upper bound; with a property or a region in
    `asked` they are counted by IBP. Large weights beside an ONNX file are not read, unless they are
    needed to count. `rows` is the number of rows that are bounded together, by default the
    outputs or the property's conditions. `tflops` and `bandwidth` (GB/s) are the device's rates,
    for the times. `options` are those of `verify`. Raises BoundmeshError for everything that bad
    input can cause.
    """
    return plan_of(
        model,
        asked,
        unstable=unstable,
        memory=memory,
        mesh=mesh,
        rows=rows,
        per_host=gpus_per_host,
        tflops=tflops,
        bandwidth=bandwidth,
        settings=with_options(settings, **options),
    )


def load(
    path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    property: str | Path | None = None,
) -> Graph:
    """Read the network in an ONNX file (`.onnx` or `.onnx.gz`).

    Where the file leaves lengths of axes open, `shapes` gives the shapes of inputs by their names,
    or the declarations in the VNN-LIB file `property` give them.
    Raises ReadError for a file that holds no valid network, and UnsupportedError for a network
    with an operator that cannot be translated.
    """
    if not isinstance(path, str | Path):
        raise ReadError(f"the path is {shown(path)}; expected the name of an ONNX file")
    try:
        known = {name: tuple(map(int, shape)) for name, shape in dict(shapes or {}).items()}
    except (TypeError, ValueError) as error:
        raise ReadError(
            f"shapes are {shown(shapes)}; expected lists of whole numbers by input name ({error})"
        ) from None
    try:
        return onnx.load(path, lengths=Lengths(by_name=known))
    except OpenAxisError:
        if property is None:
            raise
    return onnx.load(path, lengths=replace(of_property(property), by_name=known))


def from_torch(module: torch.nn.Module, example: Any) -> Graph:
    """Translate a PyTorch module into a Graph.

    `example` is one input with its batch axis, as a tensor, an array or lists of numbers. A module
    with several inputs takes a tuple of tensors or arrays, one for each input. Raises
    UnsupportedError where the module cannot be translated, and ReadError where `module` is no
    module, `example` is no example, or one of them holds NaN.
    """
    return torch_module.from_torch(module, example)


def _check_progress(progress: Progress) -> None:
    if not isinstance(progress, Progress):
        raise BoundmeshError(
            f"progress is {shown(progress)}; expected an object with the methods stage, update "
            "and warn"
        )
