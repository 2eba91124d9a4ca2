"""Shows a benchmark on standard error: one line per instance, and a table in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import PurePosixPath
from time import perf_counter

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from boundmesh.report.facts import in_words
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

    On a terminal the running instance moves below the lines of those that are finished.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        if not self._console.is_terminal:
            self._console.width = FILE_WIDTH
        self._quiet = quiet
        self._status = Status("", console=self._console)
        self._instance, self._stage = "", ""
        self._began = perf_counter()

    def __enter__(self) -> BenchConsole:
        if self._console.is_terminal and not self._quiet:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()

    def begin(self, place: str, onnx: str, vnnlib: str) -> None:
        self._instance = f"{place}  {short(onnx)} {short(vnnlib)}"
        self._began = perf_counter()
        self.stage("read")

    def stage(self, name: str, detail: str = "") -> None:
        self._stage = name
        self.update()

    def update(self, **facts: Fact) -> None:
        if not self._console.is_terminal or self._quiet:
            return
        words = in_words(facts)
        seconds = perf_counter() - self._began
        self._status.update(escape(f"{self._instance}  {self._stage} {seconds:.1f} s  {words}"))

    def warn(self, text: str) -> None:
        self._print(Text.assemble(("warning ", "yellow"), text))

    def say(self, text: str) -> None:
        if not self._quiet:
            self._print(Text(text))

    def end(self, place: str, record: Record) -> None:
        """Show the line of a finished instance; wrong and crashed ones are shown in any case."""
        bad = record.wrong or record.verdict == "error"
        if self._quiet and not bad:
            return
        line = Text.assemble(
            f"{place}  {record.family}  {short(record.onnx)} {short(record.vnnlib)}  ",
            (record.verdict, STYLES[record.verdict]),
            f"  {record.seconds:.2f} s  {record.stage}",
        )
        if record.wrong:
            line.append(f"  WRONG: expected {record.expected}", WRONG)
        if record.reason:
            line.append(f"  {record.reason}", "dim")
        self._print(line)

    def summary(self, summaries: Sequence[Summary]) -> None:
        """Show the table. It has a line for all families together where there are several."""
        if self._quiet:
            return
        shown = summaries if len(summaries) > 2 else summaries[:1]
        names = [field.name.replace("_", "\n") for field in fields(Summary)]
        table = _table(names, left=1)
        for each in shown:
            if each.family == ALL:
                table.add_section()
            table.add_row(*map(_cell, astuple(each)), style="bold red" if each.wrong else None)
        self._console.print(table)

    def changes(self, changes: Sequence[Change], pace: Pace) -> None:
        """Show the differences between two runs."""
        if self._quiet:
            return
        if changes:
            table = _table(["family", "network", "property", "old", "new"], left=3)
            for each in changes:
                table.add_row(
                    each.old.family,
                    short(each.old.onnx),
                    short(each.old.vnnlib),
                    *(f"{side.verdict} {side.seconds:.2f} s" for side in (each.old, each.new)),
                    style=WRONG if each.contradiction else None,
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

    def _print(self, line: Text) -> None:
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


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
