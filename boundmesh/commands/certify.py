"""`boundmesh certify`: how many inputs keep their label under every small change."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from boundmesh.commands.certify_files import CertificationFiles
from boundmesh.commands.certify_run import Request, read_and_certify, tell
from boundmesh.commands.defaults import described
from boundmesh.commands.files import check_readable, shapes_of
from boundmesh.commands.groups import with_groups
from boundmesh.commands.option_groups import ConsoleOptions, RunOptions
from boundmesh.commands.options import REGION, RESULTS, RUN, Clip, Json, Report, Shape
from boundmesh.commands.output import print_result
from boundmesh.commands.ranks import start_ranks
from boundmesh.commands.region import parse_clip, parse_numbers
from boundmesh.report.certify_console import CertifyConsole
from boundmesh.runtime.rank import is_first

if TYPE_CHECKING:
    from boundmesh.certify.result import Certification

BROKEN, UNDECIDED, INTERRUPTED = 1, 3, 130


@with_groups
def certify(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.onnx", help="A classifier with a score for each class, .onnx[.gz]."
        ),
    ],
    inputs: Annotated[
        Path,
        typer.Argument(
            metavar="INPUTS",
            help="A .npy of shape [N, …]; a .npz with x and, if it has labels, y; or a folder of "
            "images, whose pixels become numbers from 0 to 1 and whose subfolders are classes.",
        ),
    ],
    *,
    shape: Shape = None,
    eps: Annotated[
        str,
        typer.Option(
            metavar="R",
            help="The largest change, as in 0.03 or 8/255, which is read exactly. Its unit is that "
            "of INPUTS, before --mean and --std are applied.",
            rich_help_panel=REGION,
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="The class of each input, from 0. Default: those of INPUTS, else what the network "
            "predicts.",
            rich_help_panel=REGION,
        ),
    ] = None,
    norm: Annotated[
        str,
        typer.Option(metavar="inf|2|1", help="How a change is measured.", rich_help_panel=REGION),
    ] = "inf",
    clip: Clip = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="M[,M,M]",
            help="The network gets (input - mean) / std: one number, or one for each channel.",
            rich_help_panel=REGION,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            metavar="S[,S,S]",
            help="The divisor beside --mean: one number, or one for each channel.",
            rich_help_panel=REGION,
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only the first N inputs.", rich_help_panel=REGION),
    ] = None,
    largest: Annotated[
        bool,
        typer.Option(
            "--largest",
            help="Find the largest certified radius of each input, at most --eps, and the smallest "
            "refuted one.",
            rich_help_panel=REGION,
        ),
    ] = False,
    tolerance: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="How near the two radii of --largest must come; default: a 256th of --eps.",
            rich_help_panel=REGION,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Stop then, reading included; open inputs become unknown. Searches share the time "
            "that is left evenly.",
            rich_help_panel=RUN,
        ),
    ] = None,
    timeout_per_input: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="The most that the search of one input may take; inf for no limit.",
            rich_help_panel=RUN,
        ),
    ] = 10.0,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes that search at the same time, on the CPU. It helps where attacks and "
            "bounds leave at least 2·N inputs open, their searches take more than about ten "
            "seconds in all, and N cores are idle. Attacks and bounds stay in one process.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    run: RunOptions,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write a line for each input.", rich_help_panel=RESULTS
        ),
    ] = None,
    json: Json = None,
    npz: Annotated[
        Path | None,
        typer.Option(
            "--npz",
            metavar="FILE",
            help="Write verdicts, margins, radii and counterexamples as arrays.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    report: Report = None,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 0 if all inputs are certified, 1 if some is falsified or "
            "misclassified, 3 otherwise; without it 0. Errors are always 2, and Ctrl-C is 130.",
            rich_help_panel=RESULTS,
        ),
    ] = False,
    console: ConsoleOptions,
) -> None:
    """Certify that a classifier gives inputs their label under every small change.

    Prints how many are certified, falsified by a change, misclassified without one, and unknown.
    """
    began = perf_counter()
    settings = run.settings(timeout)
    check_readable(model, inputs, labels)
    files = CertificationFiles(csv, json, npz, report)
    files.check(model, inputs, labels)
    options = {
        "eps": eps,
        "norm": norm,
        "clip": parse_clip(clip),
        "mean": parse_numbers("--mean", mean),
        "std": parse_numbers("--std", std),
        "largest": largest,
        "tolerance": tolerance,
        "timeout_per_input": timeout_per_input,
        "jobs": jobs,
    }
    request = Request(model, shapes_of(shape), inputs, labels, first, clip, options)
    start_ranks(settings.layout.shape)
    # The other ranks certify with the first one, which alone prints and writes results.
    first_rank = is_first()
    quiet, log = console.quiet or not first_rank, console.open_log()
    with CertifyConsole(quiet=quiet, verbose=console.verbose, log=log) as progress:
        if defaults := described(context):
            progress.detail("defaults", defaults)
        result, names = read_and_certify(request, settings, began, progress)
        tell(result, run.method, began, progress)
    if not first_rank:
        return
    # Imported here, since it brings torch.
    from boundmesh.report import certification

    files.write(result, settings, model, inputs, names)
    print_result(certification.table(result))
    if result.interrupted == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if exit_code:
        raise typer.Exit(_exit_code(result))


def _exit_code(result: Certification) -> int:
    if result.count("falsified") or result.count("misclassified"):
        return BROKEN
    return UNDECIDED if result.count("unknown") else 0
