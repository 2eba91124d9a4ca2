"""A run over a list: it keeps the results of former runs, decides the rest, and stops in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from boundmesh.bench.ending import Ending
from boundmesh.bench.instances import Instance
from boundmesh.report.bench_console import BenchConsole
from boundmesh.report.records import Record, resume
from boundmesh.runtime.startup import seconds_since_start
from boundmesh.settings import Settings


def known(out: Path | None, instances: Sequence[Instance]) -> list[Record]:
    """Read the records of these instances that former runs have left in `out`.

    Their `expected` is replaced by that of the instances. Raises the errors of `resume`.
    """
    former = [] if out is None else resume(out)
    last = {record.key: record for record in former}
    return [
        replace(last[instance.key], expected=instance.expected)
        for instance in instances
        if instance.key in last
    ]


@dataclass
class Session:
    """Decides the instances of a list that have no record yet.

    instances  the instances of the list
    found      the records so far; new ones are appended
    settings   the settings of each run
    json_dir   the folder for a JSON file of each instance, or None
    until      the reading of `perf_counter` at which the session stops
    keep       receives each new record
    console    shows each new record
    ending     receives the signals that end the session
    """

    instances: Sequence[Instance]
    found: list[Record]
    settings: Settings
    json_dir: Path | None
    until: float
    keep: Callable[[Record], None]
    console: BenchConsole
    ending: Ending
    from_start: bool = False

    def run(self) -> None:
        """Decide the instances; raise BoundmeshError where the device or a results file fails."""
        done = {record.key: record.timeout for record in self.found}
        if done:
            count = f"{len(done)} of {len(self.instances)}"
            self.console.say(f"{count} instances are in the results already")
        if others := sum(done.get(instance.key, instance.timeout) != instance.timeout
                         for instance in self.instances):  # fmt: skip
            self.console.warn(f"{others} of them had another timeout; --out another file to redo")
        todo = [instance for instance in self.instances if instance.key not in done]
        if not todo and self.settings.layout.shape.size == 1:
            return
        try:
            self._decide(todo)
        except KeyboardInterrupt:
            if not self.ending.came:
                raise
        if left := len(self.instances) - len(self.found):
            why = "interrupted" if self.ending.came else "the time is up"
            self.console.warn(f"{why}: {left} instances are left")

    def _decide(self, todo: Sequence[Instance]) -> None:
        self.console.begin("", "starting", "")
        # Imported here, since it imports torch: a session with nothing to decide need not wait.
        from boundmesh.bench.mesh_run import MeshRun
        from boundmesh.bench.process import warm
        from boundmesh.bench.run import Runner

        together = MeshRun(self.settings)
        todo = together.agree("what is to be done", todo)
        if not todo:
            return
        warm(self.settings)
        # A competition starts a process for each instance, and its clock runs from there.
        startup = seconds_since_start() if self.from_start else 0.0
        runner = Runner(todo, self.settings, self.json_dir, self.console, self.ending, startup)
        for instance in todo:
            place = f"{len(self.found) + 1}/{len(self.instances)}"
            self.console.begin(place, instance.onnx, instance.vnnlib)
            stop = self.ending.came
            left = together.agree(f"{instance}?", 0.0 if stop else self.until - perf_counter())
            record = runner(instance, left) if left > 0 else None
            record = together.agree(f"{instance}.", record)
            if record is None:
                return
            self.found.append(record)
            self.keep(record)
            self.console.end(place, record)
            if record.verdict == "error":
                runner.recover()
