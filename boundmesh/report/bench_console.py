"""Shows a benchmark on standard error: one line per instance, and a table in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import PurePosixPath
from time import perf_counter

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.status import Status
from rich.table import Table
from rich.text import Text

from boundmesh.report.console import PERIOD
from boundmesh.report.facts import in_words
from boundmesh.report.log import Log
from boundmesh.report.records import Record
from boundmesh.report.summary import ALL, Change, Pace, Summary
from boundmesh.runtime.progress import Fact

STYLES = {
    "unsat": "green",
    "sat": "red",
    "unknown": "yellow",
    "timed-out": "yellow",
    "error": "bold magenta",
}
WRONG = "bold white on red"
FILE_WIDTH = 120
"""The width in characters of a table that goes to a file."""


class BenchConsole:
    """A context manager that receives the progress of each run and of the benchmark.

    On a terminal the running instance moves below the lines of those that are finished. `quiet`,
    `verbose` and `log` have the meaning that they have for ConsoleProgress.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        quiet: bool = False,
        verbose: bool = False,
        log: Log | None = None,
    ) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        if not self._console.is_terminal and "COLUMNS" not in os.environ:
            self._console.width = FILE_WIDTH
        self._quiet = quiet
        self._verbose = verbose
        self._log = log
        self._reported = 0.0
        self._status = Status("", console=self._console)
        self._instance, self._stage = "", ""
        self._began = perf_counter()

    def __enter__(self) -> BenchConsole:
        if self._console.is_terminal and not self._quiet:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()
        if error[1] is not None:
            self.detail("error", str(error[1]))
        if self._log is not None:
            self._log.close()
            self._log = None

    def begin(self, place: str, onnx: str, vnnlib: str) -> None:
        self._instance = f"{place}  {short(onnx)} {short(vnnlib)}"
        self._began = perf_counter()
        self.stage("read")

    def stage(self, name: str, detail: str = "") -> None:
        self._stage = name
        self._reported = 0.0
        self.update()

    def update(self, **facts: Fact) -> None:
        now = perf_counter()
        due = now - self._reported >= PERIOD
        if due and (self._verbose or self._log is not None):
            self._reported = now
            self.detail(
                self._stage, f"{self._instance}  {now - self._began:.1f} s  {in_words(facts)}"
            )
        if self._console.is_terminal and not self._quiet:
            line = f"{self._instance}  {self._stage} {now - self._began:.1f} s  {in_words(facts)}"
            self._status.update(escape(line))

    def detail(self, name: str, text: str) -> None:
        """Write a line to the log, and with `verbose` to the console as well."""
        if self._log is not None:
            self._log.write(name, text)
        if self._verbose and not self._quiet:
            self._console.print(Text(f"{name}  {text}", "dim"), soft_wrap=True)

    def warn(self, text: str) -> None:
        self._print(Text.assemble(("warning ", "yellow"), text))

    def say(self, text: str) -> None:
        self._print(Text(text), shown=not self._quiet)

    def end(self, place: str, record: Record) -> None:
        """Show the line of a finished instance; wrong and crashed ones are shown in any case."""
        bad = record.wrong or record.verdict == "error"
        line = Text.assemble(
            f"{place}  {record.family}  {short(record.onnx)} {short(record.vnnlib)}  ",
            (record.verdict, STYLES[record.verdict]),
            f"  {record.seconds:.2f} s  {record.stage}",
        )
        if record.wrong:
            line.append(f"  WRONG: expected {record.expected}", WRONG)
        if record.reason:
            line.append(f"  {record.reason}", "dim")
        self._print(line, shown=bad or not self._quiet)

    def rest(self) -> None:
        """End the moving line: no instance runs any more."""
        self._status.stop()

    def summary(self, summaries: Sequence[Summary]) -> None:
        """Show the table. It has a line for all families together where there are several.

        In a console that is too narrow for its columns, each family has a table of its own.
        """
        shown = summaries if len(summaries) > 2 else summaries[:1]
        if self._log is not None:
            for family in shown:
                self._log.write(
                    "summary", ", ".join(f"{k} {_cell(v)}" for k, v in asdict(family).items())
                )
        if self._quiet:
            return
        names = [field.name.replace("_", "\n") for field in fields(Summary)]
        table = _table(names, left=1)
        for family in shown:
            if family.family == ALL:
                table.add_section()
            table.add_row(*map(_cell, astuple(family)), style="bold red" if family.wrong else None)
        if (
            Measurement.get(self._console, self._console.options, table).minimum
            < self._console.width
        ):
            self._console.print(table)
            return
        for family in shown:
            self._console.print(_upright(family))

    def changes(self, changes: Sequence[Change], pace: Pace) -> None:
        """Show the differences between two runs."""
        if self._quiet:
            return
        if changes:
            table = _table(["family", "network", "property", "old", "new"], left=3)
            for change in changes:
                table.add_row(
                    change.old.family,
                    short(change.old.onnx),
                    short(change.old.vnnlib),
                    *(f"{side.verdict} {side.seconds:.2f} s" for side in (change.old, change.new)),
                    style=WRONG if change.contradiction else None,
                )
            self._console.print(table)
        self.say(
            f"{pace.common} instances are in both results, {len(changes)} verdicts differ; "
            f"{pace.both} were solved both times"
        )
        if pace.ratio is not None:
            self.say(
                f"these took {pace.old:.1f} s, then {pace.new:.1f} s; each of them "
                f"{pace.ratio:.3g} times as long (geometric mean)"
            )

    def _print(self, line: Text, *, shown: bool = True) -> None:
        if self._log is not None:
            self._log.write("bench", line.plain)
        if shown:
            self._console.print(line, soft_wrap=True)


def short(file: str) -> str:
    """Return a file's name without its folders and its `.gz`."""
    name = PurePosixPath(file.replace("\\", "/")).name
    return name.removesuffix(".gz").removesuffix(".onnx").removesuffix(".vnnlib")


def _table(names: Sequence[str], left: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place < left else "right", overflow="fold")
    return table


def _upright(summary: Summary) -> Table:
    """Return a table of one family with a line for each number."""
    table = _table(["", summary.family], left=1)
    for field in fields(Summary)[1:]:
        table.add_row(field.name.replace("_", " "), _cell(summary.__dict__[field.name]))
    return table


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
