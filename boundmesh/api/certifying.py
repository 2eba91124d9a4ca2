"""Certifies the inputs of a classifier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from boundmesh.api.progress import check_progress
from boundmesh.certify.result import Certification
from boundmesh.certify.story import certify as certify_all
from boundmesh.errors import BoundmeshError
from boundmesh.named_options import with_options
from boundmesh.ranges import shown
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.models import Model


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
    check_progress(progress)
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
