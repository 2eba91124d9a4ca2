"""`boundmesh verify`: decides a property of a network."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from boundmesh.bench.ending import Ending
from boundmesh.commands.files import (
    all_networks,
    check_order,
    check_readable,
    one_network,
    shapes_of,
)
from boundmesh.commands.groups import with_groups
from boundmesh.commands.option_groups import ConsoleOptions, RunOptions
from boundmesh.commands.options import (
    REGION,
    RESULTS,
    RUN,
    Clip,
    FromStart,
    Json,
    Network,
    Report,
    Shape,
)
from boundmesh.commands.output import print_result
from boundmesh.commands.ranks import start_ranks
from boundmesh.commands.region import neighbourhood
from boundmesh.commands.verify_files import ResultFiles, named
from boundmesh.commands.verify_run import read_and_decide, tell
from boundmesh.errors import BoundmeshError
from boundmesh.runtime.rank import is_first

EXIT_CODES = {"unsat": 0, "sat": 1}
UNDECIDED, INTERRUPTED = 3, 130


@with_groups
def verify(
    context: typer.Context,
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="The property, .vnnlib[.gz]; with --input, the network.",
        ),
    ] = None,
    *,
    network: Network = None,
    shape: Shape = None,
    input: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="Instead of SPEC: prove that the network, a classifier, gives this input its "
            "label wherever it is changed by at most --eps.",
            rich_help_panel=REGION,
        ),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="The largest change of --input, as in 0.03 or 8/255, which is read exactly.",
            rich_help_panel=REGION,
        ),
    ] = None,
    label: Annotated[
        int | None,
        typer.Option(
            metavar="CLASS",
            help="The label of --input, from 0. Default: what the network predicts.",
            rich_help_panel=REGION,
        ),
    ] = None,
    norm: Annotated[
        str,
        typer.Option(
            metavar="inf|2|1", help="How a change of --input is measured.", rich_help_panel=REGION
        ),
    ] = "inf",
    clip: Clip = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Stop then and answer timed-out.", rich_help_panel=RUN
        ),
    ] = None,
    timeout_from_start: FromStart = False,
    run: RunOptions,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse a property of VNN-LIB 2.0 with anything that the standard does not have; "
            "without it, that is a warning.",
            rich_help_panel=RUN,
        ),
    ] = False,
    result_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write VNN-COMP's result text to FILE.", rich_help_panel=RESULTS
        ),
    ] = None,
    json: Json = None,
    report: Report = None,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 0 if proved, 1 if refuted, 3 otherwise; without it 0 for any "
            "verdict. Errors are always 2.",
            rich_help_panel=RESULTS,
        ),
    ] = False,
    console: ConsoleOptions,
) -> None:
    """Prove a property of a network, or find a counterexample.

    Standard output is unsat (proved), sat (refuted) with the counterexample, unknown or timed-out.
    """
    began = perf_counter()
    around = neighbourhood(input, eps, norm, clip, label)
    if around is not None:
        spec, network = None, network_of(context.args, spec, network)
    check_order("verify", context.args, spec, network)
    if spec is None and around is None:
        raise BoundmeshError("which property? give SPEC, or --input FILE.npy --eps R")
    settings = run.settings(timeout)
    networks = all_networks(network) if around is None else dict([one_network(network)])
    inputs = (None if spec is None else Path(spec), *networks.values(), input)
    check_readable(*inputs)
    files = ResultFiles(result_file, json, report)
    files.check(*inputs)
    start_ranks(settings.layout.shape)
    with console.progress(context) as progress, Ending() as ending:
        wanted = around or Path(spec or "")
        options = strict, shapes_of(shape), timeout_from_start
        result = read_and_decide(wanted, networks, *options, settings, progress)
        seconds = perf_counter() - began
        tell(result, run.method, seconds, progress)
    # Imported here, since it brings torch.
    from boundmesh.report import results

    if is_first():
        about = None if spec is None else str(spec)
        files.write(result, settings, about, str(spec or input), named(networks), seconds)
    print_result(results.answer(result))
    if ending.came and is_first():
        raise typer.Exit(INTERRUPTED)
    if exit_code:
        raise typer.Exit(EXIT_CODES.get(result.verdict.word, UNDECIDED))


def network_of(words: list[str], model: str | None, networks: list[str] | None) -> list[str] | None:
    """Return the networks given, where the first argument is one because of `--input`.

    Raises BoundmeshError where it is a property, or a network is given twice.
    """
    if model is None:
        return networks
    if networks or words or Path(model).name.removesuffix(".gz").endswith(".vnnlib"):
        raise BoundmeshError(
            f"--input takes the place of a property, and {(words or [model])[0]} is too many: "
            "give the network first, or after --network, and no SPEC"
        )
    return [model]
