"""`boundmesh bounds`: how small and how large each output can be, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boundmesh.commands.files import (
    check_order,
    check_readable,
    check_results,
    one_network,
    shapes_of,
)
from boundmesh.commands.groups import with_groups
from boundmesh.commands.option_groups import ConsoleOptions, DeviceOptions, PointOptions, RowOptions
from boundmesh.commands.options import REGION, RUN, Json, Network, Shape
from boundmesh.commands.output import print_result
from boundmesh.commands.ranks import start_ranks
from boundmesh.commands.region import of_property
from boundmesh.runtime.rank import is_first
from boundmesh.settings import BoundSettings, OutputMethod, Settings

if TYPE_CHECKING:
    from boundmesh.proof.output_bounds import Bounds


@with_groups
def bounds(
    context: typer.Context,
    spec: Annotated[
        str | None,
        typer.Argument(metavar="SPEC", help="A property, .vnnlib[.gz], whose inputs to take."),
    ] = None,
    *,
    network: Network = None,
    shape: Shape = None,
    point: PointOptions,
    case: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Which of SPEC's input regions.", rich_help_panel=REGION
        ),
    ] = 0,
    method: Annotated[
        OutputMethod, typer.Option(help="How bounds are computed.", rich_help_panel=RUN)
    ] = "alpha-crown",
    rows: RowOptions,
    devices: DeviceOptions,
    json: Json = None,
    console: ConsoleOptions,
) -> None:
    """Bound every output over the inputs of a property, or around a point.

    Prints a table of lower and upper bounds.
    """
    check_order("bounds", context.args, spec, network)
    name, file = one_network(network)
    inputs = (file, None if spec is None else Path(spec), point.input)
    check_readable(*inputs)
    check_results({"--json": json}, *inputs)
    around = point.region(spec)
    settings = Settings(
        device=devices.device,
        dtype=rows.dtype,
        rounding=rows.rounding,
        threads=devices.threads,
        bounds=BoundSettings(iterations=rows.iterations, tile_elements=rows.tile_elements),
        layout=devices.layout,
    )
    start_ranks(settings.layout.shape)
    with console.progress(context) as progress:
        progress.stage("start")
        from boundmesh import api
        from boundmesh.report import results, words

        progress.stage("read")
        graph = api.load(file, shapes=shapes_of(shape), property=spec)
        whole = (around, None) if around is not None else of_property(spec, graph, name, case)
        region, warning = whole
        progress.say("network", f"{file.name}: {words.of_graph(graph)}")
        progress.say("inputs", words.of_region(region))
        if warning is not None:
            progress.warn(warning)
        bounded = api.bounds(graph, region, method=method, settings=settings, progress=progress)
        progress.say("done", f"peak memory {words.of_bytes(bounded.peak_bytes)}")
    if json is not None and is_first():
        results.write_json(json, results.bounds_json(bounded, settings, spec, str(file)))
    print_result(table(bounded))


def table(bounded: Bounds) -> str:
    """Return one line per output: its number, its lower and its upper bound."""
    pairs = zip(bounded.lower.tolist(), bounded.upper.tolist(), strict=True)
    lines = [f"{place:>6} {low:>14.6g} {high:>14.6g}" for place, (low, high) in enumerate(pairs)]
    return "\n".join([f"{'output':>6} {'lower':>14} {'upper':>14}", *lines, ""])
