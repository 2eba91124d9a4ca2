"""Shows how far the bounds of a large network are: a line for every start node."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

import torch

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.rows import Rows, Tile


class OutOfTime(Exception):
    """The time that was allowed is over."""


@dataclass
class Clock:
    """Prints what each start node took when the next one begins.

    limit  the seconds that the bounds may take (None: no limit)
    shown  true if lines are printed
    """

    limit: float | None = None
    shown: bool = True
    began: float = field(default_factory=time.perf_counter)
    current: str = ""

    def enter(self, line: str) -> None:
        """Finish the line of the last start node, and begin that of the next."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter() - self.began
        if self.shown:
            end = f" until {now:8.2f} s\n" if self.current else ""
            print(f"{end}{line}", end="", file=sys.stderr, flush=True)
        self.current = line

    def check(self) -> None:
        """Raise OutOfTime if the limit has passed."""
        if self.limit is not None and time.perf_counter() - self.began > self.limit:
            raise OutOfTime


@dataclass(frozen=True)
class WatchedProblem(Problem):
    """A problem whose start nodes are shown on standard error as their rows are cut into tiles."""

    clock: Clock = field(default_factory=Clock)

    def tiles(self, start: str, rows: Rows, *, gradients: bool = False) -> tuple[Tile, ...]:
        found = super().tiles(start, rows, gradients=gradients)
        size, height = self.program.graph[start].size, found[0].rows.count
        kind = "windows" if found[0].windowed else "dense"
        self.clock.enter(
            f"{start:>12} {size:8} neurons {rows.count:8} rows in {len(found):5} tiles of "
            f"{height:6}, {kind:7}"
        )
        return found
