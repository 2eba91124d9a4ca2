"""Sums up the records of `boundmesh bench`, writes its page, and compares two results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from boundmesh.commands.files import check_writable
from boundmesh.commands.output import print_result
from boundmesh.errors import BoundmeshError
from boundmesh.report import cactus, records
from boundmesh.report.bench_console import BenchConsole
from boundmesh.report.records import Record
from boundmesh.report.summary import Summary
from boundmesh.report.summary import compare as compare_runs
from boundmesh.settings import Settings


def sum_up(
    summaries: Sequence[Summary],
    records: Sequence[Record],
    json: Path | None,
    plot: Path | None,
    console: BenchConsole,
) -> None:
    """Show the summaries, and write those files that are given."""
    console.summary(summaries)
    if json is not None:
        # Imported here, since it brings torch.
        from boundmesh.report import results

        *families, whole = map(asdict, summaries)
        wrong = [record.key for record in records if record.wrong]
        results.write_json(json, {"all": whole, "families": families, "wrong": wrong})
    if plot is not None:
        cactus.plot(plot, records)


def write_report(
    path: Path,
    records: Sequence[Record],
    summaries: Sequence[Summary],
    settings: Settings,
    lists: Sequence[Path],
) -> None:
    """Write the page of a benchmark."""
    # Imported here, since it brings torch.
    from boundmesh.report.page import write
    from boundmesh.report.page.circumstances import origin_here

    write.report_bench(path, records, summaries, settings, list(map(str, lists)), origin_here())


def compare_results(old: Path, new: Path, console: BenchConsole, report: Path | None) -> bool:
    """Print what differs between two results; return False if their verdicts contradict."""
    before, after = records.read_records(old), records.read_records(new)
    changes, pace = compare_runs(before, after)
    console.changes(changes, pace)
    print_result("family,onnx,vnnlib,old,new\n")
    for change in changes:
        cells = *change.old.key, change.old.verdict, change.new.verdict
        print_result(records.csv_line(cells))
    if report is not None:
        # Imported here, since it brings torch.
        from boundmesh.report.page import write
        from boundmesh.report.page.circumstances import origin_here

        files = str(old), str(new)
        write.report_comparison(report, files, before, after, changes, pace, origin_here())
    return not any(change.contradiction for change in changes)


def check_comparison(
    lists: Sequence[Path] | None, written: Mapping[str, Path | None], report: Path | None
) -> None:
    """Raise BoundmeshError where a comparison is given instances, or files of a run to write."""
    if lists:
        raise BoundmeshError("--compare takes two results and no list of instances")
    for option, file in written.items():
        if file is not None:
            raise BoundmeshError(
                f"--compare runs nothing, so {option} has nothing to write; --report FILE.html "
                "writes the comparison"
            )
    check_writable("--report", report)
