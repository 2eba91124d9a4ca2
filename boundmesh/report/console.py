"""Shows progress on standard error: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import traceback
from time import perf_counter
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from boundmesh.errors import BoundmeshError
from boundmesh.report.facts import in_words
from boundmesh.report.log import Log
from boundmesh.runtime.progress import Fact

NAME_WIDTH = 12
ALWAYS_SAID = ("warning", "interrupted")
# Texts are wrapped beside the column of names where so many characters are left for them, else
# below the name.
LEAST_WIDTH = 20
# With `verbose`, and in the log, the facts of a running stage are written once in so many seconds.
PERIOD = 1.0


class ConsoleProgress:
    """A context manager that receives the progress of a run and writes it to standard error.

    A finished stage leaves one line with its name, its seconds and its last facts. A stage that
    starts again continues the earlier one. On a terminal a moving line below shows the running
    stage. With `quiet` only warnings are written; with `verbose` also details and, from time to
    time, the facts of the running stage. A log receives all of these in any case, and is closed at
    the end.
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
        self._quiet = quiet
        self._verbose = verbose
        self._log = log
        self._reported = 0.0
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self.running = ""
        self._detail = ""
        self._facts: dict[str, Fact] = {}
        self._began = perf_counter()

    def __enter__(self) -> ConsoleProgress:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(
                console=self._console,
                get_renderable=self._moving,
                refresh_per_second=8,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self.say("interrupted", f"during {self.running}; no verdict", style="yellow")
        elif self._log is not None:
            bad_input = isinstance(error, BoundmeshError)
            text = str(error) if bad_input else "".join(traceback.format_exception(error))
            self._log.write("error", text)
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def stage(self, name: str, detail: str = "") -> None:
        if name == self.running:
            return
        self.finish()
        self.running, self._detail = name, detail
        self._facts, self._began = {}, perf_counter()
        self._reported = self._began

    def update(self, **facts: Fact) -> None:
        self._facts |= facts
        now = perf_counter()
        if (self._verbose or self._log is not None) and now - self._reported >= PERIOD:
            self._reported = now
            self.detail("", f"{self.running} {now - self._began:.1f} s  {self._known()}")

    def warn(self, text: str) -> None:
        self.say("warning", text, style="yellow")

    def say(self, name: str, text: str, style: str = "") -> None:
        """Write one line, with `name` in a column of its own."""
        self._write(name, text, style or "bold", shown=not self._quiet or name in ALWAYS_SAID)

    def detail(self, name: str, text: str) -> None:
        """Write one line where `verbose` is chosen, and to the log."""
        self._write(name, text, "dim", shown=self._verbose and not self._quiet)

    def finish(self) -> None:
        """End the running stage, and write its line."""
        if self.running:
            text = f"{perf_counter() - self._began:7.2f} s  {self._known()}"
            self._write(self.running, text, "cyan", shown=not self._quiet)
        self.running = ""

    def _known(self) -> str:
        return ", ".join(filter(None, (self._detail, in_words(self._facts))))

    def _moving(self) -> Text | Spinner:
        if not self.running:
            return Text("")
        seconds = perf_counter() - self._began
        line = f"{self.running}  {seconds:.1f} s  {self._known()}"
        self._spinner.update(text=Text(line, no_wrap=True, overflow="ellipsis"))
        return self._spinner

    def _write(self, name: str, text: str, style: str, *, shown: bool) -> None:
        if self._log is not None:
            self._log.write(name, text)
        if shown:
            print_named(self._console, name, text, style)


def print_named(console: Console, name: str, text: str, style: str) -> None:
    """Print a name in a column of its own, and beside it a text.

    On a terminal, and where COLUMNS says how wide the output is, the text is wrapped in a column;
    elsewhere it stays one line.
    """
    if not (console.is_terminal or "COLUMNS" in os.environ):
        line = Text.assemble((f"{name:<{NAME_WIDTH}} ", style), text)
        console.print(line, soft_wrap=True)
    elif console.width >= NAME_WIDTH + LEAST_WIDTH:
        columns = Table.grid(padding=(0, 1, 0, 0))
        columns.add_column(width=NAME_WIDTH, overflow="fold")
        columns.add_column(overflow="fold")
        columns.add_row(Text(name, style), Text(text))
        console.print(columns)
    else:
        if name:
            console.print(Text(name, style))
        console.print(Padding(Text(text, overflow="fold"), (0, 0, 0, 2)))
