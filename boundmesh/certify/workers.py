"""Runs searches of single inputs one after the other, or by several processes at once."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import TracebackType
from typing import Self

import numpy as np
import torch

from boundmesh.certify.open import open_run
from boundmesh.certify.run import CertifyRun, Radius
from boundmesh.certify.search import Searched, search
from boundmesh.errors import BoundmeshError
from boundmesh.operators.interval import Interval
from boundmesh.runtime.clock import Clock

# With fewer searches for each process, starting processes takes longer than it saves.
LEAST_FOR_EACH = 2

Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class InputSearch:
    """A search: an input, a radius, what is known, and the most seconds that it may take.

    margins  `[classes]`, the best margins so far
    known    the bounds of the start nodes, by name; empty where none are known
    """

    index: int
    radius: Radius
    margins: torch.Tensor
    known: Mapping[str, Interval]
    limit: float


Done = Callable[[InputSearch, Searched, float], None]
"""A function that receives what a search came to, and the seconds that it took."""


class Searchers:
    """The processes that search: this one and, for `jobs` > 1, as many others.

    The others are started ahead, by `start`, since each takes seconds to import torch. Until they
    are ready this process searches. Leaving the context ends them at once.
    """

    def __init__(self, run: CertifyRun, jobs: int) -> None:
        self.run, self.jobs = run, jobs
        self._threads = run.settings.threads or max(1, torch.get_num_threads() // jobs)
        self._pool: ProcessPoolExecutor | None = None
        self._started: list[Future[None]] = []
        self._left = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.close()

    def start(self, count: int) -> None:
        """Start the other processes, unless they are fewer than two for about `count` searches."""
        processes = min(self.jobs, count // LEAST_FOR_EACH)
        if processes <= 1 or self._pool is not None:
            return
        run = self.run
        folder = Path(self._left.enter_context(TemporaryDirectory(prefix="boundmesh-")))
        settings = replace(run.settings, threads=self._threads, timeout=None)
        facts = run.graph, run.inputs, run.labels, run.scores, settings
        # The facts are in a file, as starting a process waits until it has read its arguments,
        # which it does only after it has imported torch.
        try:
            (folder / "facts").write_bytes(pickle.dumps(facts))
        except OSError as error:
            raise BoundmeshError(
                f"cannot write the network for other processes to {folder}: {error.strerror}; name "
                "a folder with more room in the variable TMPDIR, or leave jobs out"
            ) from error
        before = set(active_children())
        # None is a fork of this process, whose threads a fork would lack.
        self._pool = ProcessPoolExecutor(
            processes, get_context("spawn"), _start, (str(folder / "facts"),)
        )
        with _interruptions_left_to_this_process(), _deaths_told():
            self._started = [self._pool.submit(_ready) for _ in range(processes)]
        started = set(active_children()) - before
        self._left.callback(self._end, self._pool, started)

    def work(self, count: int, take: Callable[[], InputSearch | None], done: Done) -> None:
        """Run the searches that `take` returns until it returns None, about `count` in all.

        `done` receives what each search came to and the seconds that it took. `take` is called
        again after that, even if it returned None before. Raises OutOfTime after the deadline of
        the run.
        """
        self.start(count)
        running: dict[Future[tuple[Searched, float]], InputSearch] = {}
        with _deaths_told():
            while True:
                while self._open(len(running)) and (task := take()) is not None:
                    running[self._submit(task)] = task
                if running:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        done(running.pop(future), *future.result())
                    self.run.clock.check()
                elif (task := take()) is not None:
                    done(task, *self._search_here(task))
                else:
                    return

    def _open(self, running: int) -> bool:
        """Return True if the other processes are ready and one of them has nothing to search."""
        if self._pool is None or not all(future.done() for future in self._started):
            return False
        for future in self._started:
            future.result()
        return running < len(self._started)

    def _submit(self, task: InputSearch) -> Future[tuple[Searched, float]]:
        assert self._pool is not None
        return self._pool.submit(_search, _packed(task))

    def _search_here(self, task: InputSearch) -> tuple[Searched, float]:
        run, began, threads = self.run, monotonic(), torch.get_num_threads()
        if self._pool is not None:
            # Equal numbers of threads give equal bits, whichever process searches.
            torch.set_num_threads(self._threads)
        try:
            searched = search(run, task.index, task.radius, task.margins, task.known, task.limit)
        finally:
            torch.set_num_threads(threads)
        return searched, run.clock.agree(monotonic() - began)

    @staticmethod
    def _end(pool: ProcessPoolExecutor, processes: set[BaseProcess]) -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def share_of(run: CertifyRun, limit: float, count: int, jobs: int) -> float:
    """Return how long each of so many searches may take."""
    return min(limit, run.clock.left, run.clock.left * jobs / max(1, count))


@contextmanager
def _deaths_told() -> Iterator[None]:
    """Raise BoundmeshError where another process has died."""
    try:
        yield
    except BrokenProcessPool as error:
        raise BoundmeshError(
            "a process that searches has died; it may have run out of memory, or the program "
            'lacks `if __name__ == "__main__":` around its work, which jobs > 1 needs'
        ) from error


@contextmanager
def _interruptions_left_to_this_process() -> Iterator[None]:
    """Let processes that are started meanwhile ignore Ctrl-C, which a terminal sends to them too.

    This process ends them when it is interrupted itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


_RUN: list[CertifyRun] = []
"""The run of a process that searches, which its first task finds as `_start` left it."""


def _start(facts: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    graph, inputs, labels, scores, settings = pickle.loads(Path(facts).read_bytes())
    torch.set_num_threads(settings.threads or 1)
    torch.manual_seed(settings.seed)
    _RUN.append(open_run(graph, inputs, settings, Clock()).about(labels, scores))


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, however that came."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _ready() -> None:
    """Do nothing; a process that has done it can search."""


Packed = tuple[int, Radius, np.ndarray, dict[str, Ends], float]


def _packed(task: InputSearch) -> Packed:
    """Return a task without tensors, which processes would share by file descriptors."""
    known = {n: (box.lower.cpu().numpy(), box.upper.cpu().numpy()) for n, box in task.known.items()}
    return task.index, task.radius, task.margins.numpy(), known, task.limit


def _search(packed: Packed) -> tuple[Searched, float]:
    index, radius, margins, ends, limit = packed
    known = {
        name: Interval(torch.from_numpy(low.copy()), torch.from_numpy(high.copy()))
        for name, (low, high) in ends.items()
    }
    began = monotonic()
    searched = search(_RUN[0], index, radius, torch.from_numpy(margins.copy()), known, limit)
    return searched, monotonic() - began
