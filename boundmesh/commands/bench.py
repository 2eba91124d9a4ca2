"""`boundmesh bench`: a whole benchmark in one warm process, resumable, with a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from boundmesh.bench.ending import Ending
from boundmesh.bench.instances import Instance, read_instances, select
from boundmesh.bench.session import Session, known
from boundmesh.commands.bench_results import check_comparison, compare_results, sum_up, write_report
from boundmesh.commands.defaults import described
from boundmesh.commands.files import check_folder, check_results
from boundmesh.commands.groups import with_groups
from boundmesh.commands.option_groups import ConsoleOptions, RunOptions
from boundmesh.commands.options import RESULTS, RUN, FromStart, Report
from boundmesh.commands.output import print_result
from boundmesh.commands.ranks import start_ranks
from boundmesh.errors import BoundmeshError
from boundmesh.report import cactus, records
from boundmesh.report.bench_console import BenchConsole
from boundmesh.report.records import Record
from boundmesh.report.summary import summarize
from boundmesh.runtime.rank import is_first

WHICH = "Which instances"
ALL_FAILED, WRONG, INTERRUPTED = 1, 2, 130


@with_groups
def bench(
    context: typer.Context,
    lists: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INSTANCES.csv…",
            help="Lists of onnx,vnnlib,timeout[,expected], with or without a header; paths are "
            "relative to the list, whose folder is the family's name.",
            show_default=False,
        ),
    ] = None,
    *,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--select",
            metavar="REGEX",
            help="Only instances in whose 'family onnx vnnlib' it is found.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    every: Annotated[
        int,
        typer.Option(min=1, metavar="K", help="Every K-th of a family.", rich_help_panel=WHICH),
    ] = 1,
    limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Stop after so long in all; the instance at work is left to the next run.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="For each instance, instead of its own.", rich_help_panel=RUN
        ),
    ] = None,
    timeout_from_start: FromStart = False,
    run: RunOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write a line for each instance, at once, instead of printing it; instances that "
            "are there already are not run again.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    json_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the JSON of `verify --json` for each instance.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the summary.", rich_help_panel=RESULTS),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|svg",
            help="Draw how many are solved within which time.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    report: Report = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="OLD.csv NEW.csv",
            help="Run nothing: say what differs between two results.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    console: ConsoleOptions,
) -> None:
    """Decide every instance of a benchmark in one process, and sum up.

    Prints a CSV line for each, or appends it to --out. Exits with 2 if a verdict is wrong, and with
    1 if every instance failed.
    """
    began = perf_counter()
    if compare is not None:
        written = {"--out": out, "--json-dir": json_dir, "--json": json, "--plot": plot}
        check_comparison(lists, written, report)
        if not compare_results(*compare, BenchConsole(quiet=console.quiet), report):
            raise typer.Exit(WRONG)
        return
    settings = run.settings(timeout)
    results = {"--out": out, "--json": json, "--plot": plot, "--report": report}
    check_results(results, *(lists or []))
    check_folder("--json-dir", json_dir)
    if out is not None and out.exists() and not out.is_file():
        raise BoundmeshError(f"--out: cannot write {out}: it is no file that can be continued")
    if plot is not None:
        cactus.check_plot(plot)
    lists = lists or []
    instances = _instances(lists, pattern, every, timeout)
    start_ranks(settings.layout.shape)
    # The other ranks decide with the first one, which alone reads and writes results.
    first = is_first()
    all_records = known(out, instances) if first else []
    if out is None:
        print_result(records.HEADER)
    keep = _keeping(out, first)
    until = float("inf") if limit is None else began + limit
    files = json_dir if first else None
    quiet, log_file = console.quiet or not first, console.open_log()
    shown = BenchConsole(quiet=quiet, verbose=console.verbose, log=log_file)
    with shown, Ending() as ending:
        if defaults := described(context):
            shown.detail("defaults", defaults)
        session = Session(
            instances, all_records, settings, files, until, keep, shown, ending, timeout_from_start
        )
        session.run()
        shown.rest()
        summaries = summarize([instance.family for instance in instances], all_records)
        if first:
            sum_up(summaries, all_records, json, plot, shown)
    if not first:
        return
    if report is not None:
        write_report(report, all_records, summaries, settings, lists)
    if code := _exit_code(all_records, ending.came):
        raise typer.Exit(code)


def _instances(
    lists: Sequence[Path], pattern: str | None, every: int, timeout: float | None
) -> list[Instance]:
    """Read the instances that are chosen; `timeout` replaces their own where it is given."""
    if not lists:
        raise BoundmeshError("which instances? give a list, INSTANCES.csv, or --compare")
    instances = select(read_instances(lists), pattern, every)
    if timeout is None:
        return instances
    return [replace(instance, timeout=timeout) for instance in instances]


def _keeping(out: Path | None, first: bool) -> Callable[[Record], None]:
    """Return what is done with each new record: it is printed, or the first rank appends it."""
    if out is None:
        return lambda record: print_result(records.line(record))
    if first:
        return partial(records.append, out)
    return lambda record: None


def _exit_code(records: Sequence[Record], interrupted: bool) -> int:
    """Return the exit code of a benchmark with these records."""
    if any(record.wrong for record in records):
        return WRONG
    if interrupted:
        return INTERRUPTED
    failed = [record.verdict == "error" for record in records]
    return ALL_FAILED if records and all(failed) else 0
