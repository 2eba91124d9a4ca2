"""`boundmesh bounds`: how small and how large each output can be, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boundmesh.commands.options import (
    RUN,
    Device,
    DTypeOption,
    Iterations,
    Json,
    LogFile,
    Mesh,
    Network,
    OffloadOption,
    Quiet,
    RoundingOption,
    ScheduleOption,
    Shape,
    Threads,
    TileElements,
    Verbose,
    check_order,
    check_readable,
    check_writable,
    one_network,
    shapes_of,
)
from boundmesh.commands.output import print_result, progress_of
from boundmesh.commands.ranks import start_ranks
from boundmesh.commands.region import REGION, Clip, around, of_property, parse_clip
from boundmesh.runtime.rank import is_first
from boundmesh.settings import BoundSettings, Layout, OutputMethod, Settings

if TYPE_CHECKING:
    from boundmesh.proof.output_bounds import Bounds


def bounds(
    context: typer.Context,
    spec: Annotated[
        str | None,
        typer.Argument(metavar="SPEC", help="A property, .vnnlib[.gz], whose inputs to take."),
    ] = None,
    *,
    network: Network = None,
    shape: Shape = None,
    input: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="A point, instead of SPEC.", rich_help_panel=REGION),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="Radius around it, as in 0.03 or 8/255, which is read exactly.",
            rich_help_panel=REGION,
        ),
    ] = None,
    clip: Clip = None,
    norm: Annotated[
        float,
        typer.Option(metavar="1|2|inf", help="The radius's norm.", rich_help_panel=REGION),
    ] = float("inf"),
    case: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Which of SPEC's input regions.", rich_help_panel=REGION
        ),
    ] = 0,
    method: Annotated[
        OutputMethod, typer.Option(help="How bounds are computed.", rich_help_panel=RUN)
    ] = "alpha-crown",
    iterations: Iterations = BoundSettings.iterations,
    tile_elements: TileElements = BoundSettings.tile_elements,
    device: Device = Settings.device,
    mesh: Mesh = "",
    schedule: ScheduleOption = "auto",
    offload: OffloadOption = "none",
    dtype: DTypeOption = "float32",
    rounding: RoundingOption = "auto",
    threads: Threads = None,
    json: Json = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Bound every output over the inputs of a property, or around a point.

    Prints a table of lower and upper bounds.
    """
    check_order("bounds", context.args, spec, network)
    name, file = one_network(network)
    check_readable(file, None if spec is None else Path(spec), input)
    check_writable("--json", json)
    parsed_clip = parse_clip(clip)
    chosen = BoundSettings(iterations=iterations, tile_elements=tile_elements)
    layout = Layout.of(mesh, schedule, offload)
    settings = Settings(
        device=device, dtype=dtype, rounding=rounding, threads=threads, bounds=chosen, layout=layout
    )
    start_ranks(layout.shape)
    with progress_of(context, quiet, verbose, log) as progress:
        progress.stage("start")
        from boundmesh import api
        from boundmesh.report import results, words

        progress.stage("read")
        graph = api.load(file, shapes=shapes_of(shape), property=spec)
        if input is None:
            region, warning = of_property(spec, graph, name, case)
        else:
            region, warning = around(input, eps, parsed_clip, norm, spec), None
        progress.say("network", f"{file.name}: {words.of_graph(graph)}")
        progress.say("inputs", words.of_region(region))
        if warning is not None:
            progress.warn(warning)
        found = api.bounds(graph, region, method=method, settings=settings, progress=progress)
        progress.say("done", f"peak memory {words.of_bytes(found.peak_bytes)}")
    if json is not None and is_first():
        results.write_json(json, results.bounds_json(found, settings, spec, str(file)))
    print_result(table(found))


def table(found: Bounds) -> str:
    """One line per output: its number, its lower and its upper bound."""
    pairs = zip(found.lower.tolist(), found.upper.tolist(), strict=True)
    lines = [f"{place:>6} {low:>14.6g} {high:>14.6g}" for place, (low, high) in enumerate(pairs)]
    return "\n".join([f"{'output':>6} {'lower':>14} {'upper':>14}", *lines, ""])
