"""Shows progress on standard error: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from boundmesh.report.facts import in_words
from boundmesh.runtime.progress import Fact

NAME_WIDTH = 12
ALWAYS_SAID = ("warning", "interrupted")


class ConsoleProgress:
    """A context manager that receives the progress of a run and writes it to standard error.

    A finished stage leaves one line with its name, its seconds and its last facts. A stage that
    starts again continues the earlier one. On a terminal a moving line below shows the running
    stage.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._quiet = quiet
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
        if self._live is not None:
            self._live.stop()
            self._live = None

    def stage(self, name: str, detail: str = "") -> None:
        if name == self.running:
            return
        self.finish()
        self.running, self._detail = name, detail
        self._facts, self._began = {}, perf_counter()

    def update(self, **facts: Fact) -> None:
        self._facts |= facts

    def warn(self, text: str) -> None:
        self.say("warning", text, style="yellow")

    def say(self, name: str, text: str, style: str = "") -> None:
        """Write one line, with `name` in a column of its own."""
        if not self._quiet or name in ALWAYS_SAID:
            self._print(Text.assemble((f"{name:<{NAME_WIDTH}} ", style or "bold"), text))

    def finish(self) -> None:
        """End the running stage, and write its line."""
        if self.running and not self._quiet:
            line = Text.assemble(
                (f"{self.running:<{NAME_WIDTH}} ", "cyan"),
                f"{perf_counter() - self._began:7.2f} s  ",
                self._known(),
            )
            self._print(line)
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

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)
