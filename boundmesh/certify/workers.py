"""Runs searches of single inputs one after the other, or by several processes at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from time import monotonic
from types import FrameType

import numpy as np
import torch

from boundmesh.certify.inputs import Inputs
from boundmesh.certify.open import open_run
from boundmesh.certify.run import Radius, Run
from boundmesh.certify.search import Searched, search
from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.operators.interval import Interval
from boundmesh.runtime.clock import Clock
from boundmesh.settings import Settings

# With fewer searches for each process, starting processes takes longer than it saves.
LEAST_FOR_EACH = 2

Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """A search: an input, a radius, what is known, and the most seconds that it may take.

    margins  `[classes]`, the best margins so far
    known    the bounds of the start nodes, by name; empty where none are known
    """

    place: int
    radius: Radius
    margins: torch.Tensor
    known: Mapping[str, Interval]
    limit: float


Done = Callable[[Task, Searched, float], None]
"""A function that receives what a search came to, and the seconds that it took."""


def work(run: Run, jobs: int, count: int, take: Callable[[], Task | None], done: Done) -> None:
    """Run the searches that `take` returns until it returns None, about `count` in all.

    `done` is called after each search, and `take` again after that, even if it returned None
    before. Raises OutOfTime after the deadline of the run.
    """
    if min(jobs, count // LEAST_FOR_EACH) <= 1:
        while (task := take()) is not None:
            began = monotonic()
            found = search(run, task.place, task.radius, task.margins, task.known, task.limit)
            done(task, found, run.clock.agree(monotonic() - began))
        return
    with _pool(run, jobs) as pool:
        running: dict[Future[tuple[Searched, float]], Task] = {}
        try:
            while True:
                while len(running) < jobs and (task := take()) is not None:
                    running[pool.submit(_search, _packed(task))] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done(running.pop(future), *future.result())
                run.clock.check()
        except BrokenProcessPool as error:
            raise BoundmeshError(
                "a process that searches has died; it may have run out of memory, or the program "
                'lacks `if __name__ == "__main__":` around its work, which jobs > 1 needs'
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def share_of(run: Run, limit: float, places: int, jobs: int) -> float:
    """Return how long each of so many searches may take."""
    return min(limit, run.clock.left, run.clock.left * jobs / max(1, places))


def _pool(run: Run, jobs: int) -> ProcessPoolExecutor:
    """Start processes that hold the network and the inputs; none is a fork of this process."""
    threads = run.settings.threads or max(1, torch.get_num_threads() // jobs)
    settings = replace(run.settings, threads=threads, timeout=None)
    facts = run.graph, run.inputs, run.labels, run.scores, settings
    return ProcessPoolExecutor(jobs, get_context("spawn"), _start, facts)


@dataclass
class _Worker:
    """What a process that searches holds."""

    run: list[Run] = field(default_factory=list)
    busy: bool = False

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """End the search that is running, if there is one, after Ctrl-C."""
        if self.busy:
            raise KeyboardInterrupt


_WORKER = _Worker()
"""A process of a pool has a single one, which its first task finds as `_start` left it."""


def _start(
    graph: Graph, inputs: Inputs, labels: np.ndarray, scores: np.ndarray, settings: Settings
) -> None:
    signal.signal(signal.SIGINT, _WORKER.interrupted)
    torch.set_num_threads(settings.threads or 1)
    torch.manual_seed(settings.seed)
    _WORKER.run.append(open_run(graph, inputs, settings, Clock()).about(labels, scores))


Packed = tuple[int, Radius, np.ndarray, dict[str, Ends], float]


def _packed(task: Task) -> Packed:
    """Return a task without tensors, which processes would share by file descriptors."""
    known = {n: (box.lower.cpu().numpy(), box.upper.cpu().numpy()) for n, box in task.known.items()}
    return task.place, task.radius, task.margins.numpy(), known, task.limit


def _search(packed: Packed) -> tuple[Searched, float]:
    place, radius, margins, ends, limit = packed
    known = {
        name: Interval(torch.from_numpy(low.copy()), torch.from_numpy(high.copy()))
        for name, (low, high) in ends.items()
    }
    began = monotonic()
    given = torch.from_numpy(margins.copy())
    try:
        _WORKER.busy = True
        found = search(_WORKER.run[0], place, radius, given, known, limit)
    except KeyboardInterrupt:
        found = Searched(given, None, "interrupted")
    finally:
        _WORKER.busy = False
    return found, monotonic() - began
