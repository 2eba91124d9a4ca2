"""`boundmesh plan`: what bounds would take, on one device and on many, without running them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boundmesh.commands.options import (
    DTypeOption,
    Iterations,
    Json,
    MethodOption,
    OffloadOption,
    Quiet,
    RoundingOption,
    ScheduleOption,
    TileElements,
    check_readable,
    check_writable,
)
from boundmesh.commands.region import REGION, Clip, around, parse_clip
from boundmesh.errors import BoundmeshError
from boundmesh.report.console import ConsoleProgress
from boundmesh.settings import BoundSettings, Layout, Settings

if TYPE_CHECKING:
    from boundmesh.property import Ball, Box

DOES_NOT_FIT = 1
DEVICES = "Which devices"


def plan(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.onnx", help="The network, .onnx[.gz], of any size.")
    ],
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="SPEC", help="A property, .vnnlib[.gz]: unstable neurons are counted by IBP."
        ),
    ] = None,
    *,
    input: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="A point, instead of SPEC.", rich_help_panel=REGION),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            metavar="R", help="Radius around it, as in 0.03 or 8/255.", rich_help_panel=REGION
        ),
    ] = None,
    clip: Clip = None,
    norm: Annotated[
        float,
        typer.Option(metavar="1|2|inf", help="The radius's norm.", rich_help_panel=REGION),
    ] = float("inf"),
    unstable: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="The share of neurons to take as unstable, as in 30%. Default: all of them, which "
            "gives an upper bound; with SPEC or --input those that IBP counts.",
            rich_help_panel=REGION,
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Rows that are bounded together. Default: the conditions of SPEC, else the "
            "outputs.",
            rich_help_panel=REGION,
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="The memory of each device: 80GiB.", rich_help_panel=DEVICES
        ),
    ] = None,
    mesh: Annotated[
        str,
        typer.Option(
            metavar="shards=N[..M]",
            help="How many devices share the network. A range gets a line for every power of two "
            "and for its ends.",
            rich_help_panel=DEVICES,
        ),
    ] = "shards=1",
    device: Annotated[
        str,
        typer.Option(
            metavar="cuda|cpu",
            help="The device to plan for; it need not be here. cuda is a GPU like the one here, "
            "else an H100.",
            rich_help_panel=DEVICES,
        ),
    ] = "cuda",
    gpus_per_host: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="So many GPUs of one host read each other's memory.",
            rich_help_panel=DEVICES,
        ),
    ] = 8,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            metavar="T",
            help="Its 10¹² floating-point operations per second in products, for the times.",
            rich_help_panel=DEVICES,
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            metavar="GB/s",
            help="What it reads and writes per second, for the times.",
            rich_help_panel=DEVICES,
        ),
    ] = None,
    schedule: ScheduleOption = "auto",
    offload: OffloadOption = "none",
    method: MethodOption = "auto",
    iterations: Iterations = BoundSettings.iterations,
    tile_elements: TileElements = BoundSettings.tile_elements,
    dtype: DTypeOption = "float32",
    rounding: RoundingOption = "auto",
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Predict memory and time without running anything: does it fit, and on how many devices?

    Large weights beside the file are not read, and no GPU is needed. Exit code 0: it fits, or no
    --memory was given. 1: no planned number of shards fits. 2: an error.
    """
    check_readable(model, spec, input)
    check_writable("--json", json)
    if eps is not None and input is None:
        raise BoundmeshError("--eps is the radius around a point; give the point as --input FILE")
    bounds = BoundSettings(method=method, iterations=iterations, tile_elements=tile_elements)
    settings = Settings(
        device=device,
        dtype=dtype,
        rounding=rounding,
        bounds=bounds,
        layout=Layout(schedule=schedule, offload=offload),
    )
    parsed_clip = parse_clip(clip)
    with ConsoleProgress(quiet=quiet) as progress:
        progress.stage("plan")
        from boundmesh import api
        from boundmesh.report import plan_table, results

        asked: Box | Ball | Path | None = spec
        if input is not None:
            asked = around(input, eps, parsed_clip, norm, None if spec is None else str(spec))
        found = api.plan(
            model,
            asked,
            mesh=mesh,
            memory=memory,
            unstable=unstable,
            rows=rows,
            gpus_per_host=gpus_per_host,
            tflops=tflops,
            bandwidth=bandwidth,
            settings=settings,
        )
    if json is not None:
        results.write_json(json, {"network": str(model), **plan_table.plan_json(found)})
    typer.echo(plan_table.of_plan(found), nl=False)
    if not found.fits:
        raise typer.Exit(DOES_NOT_FIT)
