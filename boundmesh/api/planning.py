"""Predicts the memory and the time of bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boundmesh.api.reading import shapes_by_name
from boundmesh.named_options import with_options
from boundmesh.plan.asked import plan_of
from boundmesh.plan.plan import Plan
from boundmesh.property import Ball, Box, Property
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.models import Model


def plan(
    model: Model,
    asked: Property | Box | Ball | str | Path | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
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

    `shapes` are those of inputs whose axes an ONNX file leaves open, by name. `mesh` is a number of
    shards or a range such as `shards=1..1024`; `memory` is that of each device, such as `80GiB`.
    `unstable` is the share of unstable neurons, such as `30%`. Without it all neurons count as
    unstable, which gives an upper bound; with a property or a region in `asked` they are counted by
    IBP. Large weights beside an ONNX file are not read, unless they are needed to count. `rows` is
    the number of rows that are bounded together, by default the outputs or the property's
    conditions. `tflops` and `bandwidth` (GB/s) are the device's rates, for the times. `options` are
    those of `verify`. Raises BoundmeshError for everything that bad input can cause.
    """
    return plan_of(
        model,
        asked,
        shapes=shapes_by_name(shapes),
        unstable=unstable,
        memory=memory,
        mesh=mesh,
        rows=rows,
        per_host=gpus_per_host,
        tflops=tflops,
        bandwidth=bandwidth,
        settings=with_options(settings, **options),
    )
