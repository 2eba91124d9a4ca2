"""Shows the progress of `certify` on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from boundmesh.report.console import ConsoleProgress
from boundmesh.report.log import Log
from boundmesh.runtime.progress import Fact


class CertifyConsole:
    """A context manager that receives the progress of a run.

    Every finished stage leaves one line. On a terminal a bar below shows how many inputs are
    decided, and what is done now. `quiet`, `verbose` and `log` have the meaning that they have for
    ConsoleProgress.
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
        self._lines = ConsoleProgress(self._console, quiet=quiet, verbose=verbose, log=log)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("decided"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._shown = self._console.is_terminal and not quiet
        self._task = self._bar.add_task("start", total=None)

    def __enter__(self) -> CertifyConsole:
        if self._shown:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A bar that was never shown would leave an empty line.
        if self._shown:
            self._bar.stop()
        self._lines.__exit__(kind, error, trace)

    def detail(self, name: str, text: str) -> None:
        """Write one line where `verbose` is chosen, and to the log."""
        self._lines.detail(name, text)

    def begin(self, count: int) -> None:
        """Show how many inputs there are."""
        self._bar.update(self._task, total=count)

    def stage(self, name: str, detail: str = "") -> None:
        self._bar.update(self._task, description=name)
        self._lines.stage(name, detail)

    def update(self, **facts: Fact) -> None:
        decided = facts.get("decided")
        if isinstance(decided, int):
            self._bar.update(self._task, completed=decided)
        self._lines.update(**facts)

    def warn(self, text: str) -> None:
        self._lines.warn(text)

    def say(self, name: str, text: str, style: str = "") -> None:
        """Write one line, with `name` in a column of its own."""
        self._lines.say(name, text, style)

    def finish(self) -> None:
        """End the running stage, and write its line."""
        self._lines.finish()
