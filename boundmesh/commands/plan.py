"""`boundmesh plan`: what bounds would take, on one device and on many, without running them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from boundmesh.commands.files import check_readable, check_results, shapes_of
from boundmesh.commands.groups import with_groups
from boundmesh.commands.option_groups import PointOptions, RowOptions, TravelOptions
from boundmesh.commands.options import REGION, Json, MethodOption, Quiet, Shape
from boundmesh.report.console import ConsoleProgress
from boundmesh.settings import BoundSettings, Layout, Settings

DOES_NOT_FIT = 1
DEVICES = "Which devices"


@with_groups
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
    shape: Shape = None,
    point: PointOptions,
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
            help="How many 10¹² floating-point operations of products it computes per second.",
            rich_help_panel=DEVICES,
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            metavar="GB/s",
            help="How many GB it reads and writes per second.",
            rich_help_panel=DEVICES,
        ),
    ] = None,
    method: MethodOption = BoundSettings.method,
    options: RowOptions,
    travel: TravelOptions,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Predict memory and time without running anything: does it fit, and on how many devices?

    Large weights beside the file are not read, and no GPU is needed. Exit code 0: it fits, or no
    --memory was given. 1: no planned number of shards fits. 2: an error.
    """
    inputs = (model, spec, point.input)
    check_readable(*inputs)
    check_results({"--json": json}, *inputs)
    around = point.region(None if spec is None else str(spec))
    settings = Settings(
        device=device,
        dtype=options.dtype,
        rounding=options.rounding,
        bounds=BoundSettings(method, options.iterations, tile_elements=options.tile_elements),
        layout=Layout(schedule=travel.schedule, offload=travel.offload),
    )
    with ConsoleProgress(quiet=quiet) as progress:
        progress.stage("plan")
        from boundmesh import api
        from boundmesh.report import results
        from boundmesh.report.plan_json import plan_json
        from boundmesh.report.plan_text import of_plan

        prediction = api.plan(
            model,
            spec if around is None else around,
            shapes=shapes_of(shape),
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
        results.write_json(json, {"network": str(model), **plan_json(prediction)})
    # Without a terminal, and COLUMNS not set, there is no width to keep.
    width = shutil.get_terminal_size(fallback=(0, 0)).columns or None
    typer.echo(of_plan(prediction, width), nl=False)
    if not prediction.fits:
        raise typer.Exit(DOES_NOT_FIT)
