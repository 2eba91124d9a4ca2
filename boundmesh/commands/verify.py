"""`boundmesh verify`: decides a property of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from boundmesh.bench.ending import Ending
from boundmesh.commands.files import (
    all_networks,
    check_order,
    check_readable,
    check_writable,
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
from boundmesh.commands.region import Neighbourhood, neighbourhood
from boundmesh.errors import BoundmeshError
from boundmesh.report.console import ConsoleProgress
from boundmesh.runtime.rank import is_first
from boundmesh.runtime.startup import seconds_since_start
from boundmesh.settings import Method, Settings

if TYPE_CHECKING:
    from boundmesh.result import Result

EXIT_CODES = {"unsat": 0, "sat": 1}
UNDECIDED, INTERRUPTED = 3, 130
STYLES = {"unsat": "bold green", "sat": "bold red", "unknown": "yellow", "timed-out": "yellow"}


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
        typer.Option(metavar="SECONDS", help="Stop then and say timed-out.", rich_help_panel=RUN),
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
    check_readable(None if spec is None else Path(spec), *networks.values(), input)
    check_writable("--result-file", result_file)
    check_writable("--json", json)
    check_writable("--report", report)
    start_ranks(settings.layout.shape)
    with console.progress(context) as progress, Ending() as ending:
        wanted = around or Path(spec or "")
        options = strict, shapes_of(shape), timeout_from_start
        result = _run(wanted, networks, *options, settings, progress)
        seconds = perf_counter() - began
        _tell(result, run.method, seconds, progress)

    from boundmesh.report import results

    if result_file is not None and is_first():
        results.write(result_file, results.competition_text(result.verdict, result.property))
    if json is not None and is_first():
        about = None if spec is None else str(spec)
        content = results.verdict_json(result, settings, about, named(networks), seconds)
        results.write_json(json, content)
    if report is not None and is_first():
        _write_report(report, result, str(spec or input), named(networks))
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


def named(networks: Mapping[str | None, Path]) -> str:
    """Return the networks as text: the file of one without a name, else `f=a.onnx g=b.onnx`."""
    return " ".join(str(f) if name is None else f"{name}={f}" for name, f in networks.items())


def _run(
    spec: Path | Neighbourhood,
    networks: Mapping[str | None, Path],
    strict: bool,
    shapes: dict[str, tuple[int, ...]],
    from_start: bool,
    settings: Settings,
    progress: ConsoleProgress,
) -> Result:
    progress.stage("start")
    from boundmesh import api
    from boundmesh.commands.query import read_query
    from boundmesh.proof.guarantee import arithmetic
    from boundmesh.report import words
    from boundmesh.runtime.device import set_aside

    progress.stage("read")
    began = perf_counter()
    if isinstance(spec, Neighbourhood):
        (file,) = networks.values()
        graph = api.load(file, shapes=shapes)
        prop, source = spec.property(graph), spec.file
    else:
        load = partial(api.load, shapes=shapes, property=spec)
        (graph, prop), source = read_query(spec, networks, load, strict), spec
    set_aside()
    files = ", ".join(file.name for file in networks.values())
    progress.say("network", f"{files}: {words.of_graph(graph)}")
    first, *more = words.of_property(prop)
    progress.say("property", f"{source.name}: {first}")
    for line in more:
        progress.say("", line)
    progress.say("arithmetic", words.of_arithmetic(arithmetic(graph, settings, prop)))
    reading = perf_counter() - began
    spent = seconds_since_start() if from_start else reading
    result = api.verify(graph, prop, settings=less(settings, spent), progress=progress)
    return replace(result, seconds={**result.seconds, "read": reading})


def _write_report(path: Path, result: Result, spec: str, network: str) -> None:
    from boundmesh.report.page import write
    from boundmesh.report.page.circumstances import origin_here

    write.report(result, path, origin_here(network, spec))


def less(settings: Settings, seconds: float) -> Settings:
    """Return `settings` with the timeout reduced by the seconds already spent on reading."""
    if settings.timeout is None:
        return settings
    return replace(settings, timeout=max(settings.timeout - seconds, 1e-3))


def _tell(result: Result, method: Method, seconds: float, progress: ConsoleProgress) -> None:
    from boundmesh.report import words

    word = result.verdict.word
    progress.finish()
    progress.say(word, words.of_verdict(result.verdict, result.property), STYLES[word])
    if word in ("unknown", "timed-out") and result.unstable:
        progress.say("", words.of_unstable(result.unstable))
    if word == "unknown" and method != "auto":
        progress.say("", "--method auto goes on to tighter bounds and splits what they leave open")
    if word == "timed-out":
        progress.say("", "a longer --timeout or a faster --device may decide it")
    progress.say("", f"{seconds:.1f} s, peak memory {words.of_bytes(result.peak_bytes)}")
