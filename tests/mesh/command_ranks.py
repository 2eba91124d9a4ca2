"""Ranks that run one command after the other, as ranks that a command has started do."""

from __future__ import annotations

import contextlib
import os
import sys
from io import StringIO
from pathlib import Path
from threading import Thread

import torch
import torch.multiprocessing as multiprocessing
from torch.multiprocessing.queue import SimpleQueue

from boundmesh.cli import main
from boundmesh.mesh.runtime import launch
from boundmesh.mesh.runtime.join import leave
from boundmesh.runtime.rank import RENDEZVOUS
from tests.conftest import Outcome


class CommandRanks:
    """`size` ranks on CPUs, started by boundmesh's launcher once and used for many commands."""

    def __init__(self, size: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._asked = [context.SimpleQueue() for _ in range(size)]
        self._answers = [context.SimpleQueue() for _ in range(size)]
        arguments = size, serve, str(folder), self._asked, self._answers
        self._thread = Thread(target=launch.run, args=arguments, daemon=True)
        self._thread.start()

    def run(self, *words: object) -> Outcome:
        """Run `boundmesh WORDS…` on every rank and return how it ended on the first."""
        for queue in self._asked:
            queue.put(list(map(str, words)))
        first, *_ = (queue.get() for queue in self._answers)
        return first

    def close(self) -> None:
        for queue in self._asked:
            queue.put(None)
        self._thread.join(10)


def serve(folder: str, asked: list[SimpleQueue], answers: list[SimpleQueue]) -> None:
    """Run commands until there are no more. For each one the ranks meet at a place of its own."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    meeting = 0
    while (words := asked[rank].get()) is not None:
        os.environ[RENDEZVOUS] = f"file://{folder}/meeting{(meeting := meeting + 1)}"
        answers[rank].put(outcome(words))
        leave()


def outcome(words: list[str]) -> Outcome:
    """Run one command in this process."""
    sys.argv = ["boundmesh", *words]
    out, err, code = StringIO(), StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())
