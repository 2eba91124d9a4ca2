"""What every search of branch and bound shares: its account, and a frontier that loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from boundmesh.bab.frontier import Frontier
from boundmesh.bab.groups import Groups
from boundmesh.clock import Clock
from boundmesh.report.progress import Progress

Look = Callable[[Tensor], object]
"""Is told the inputs `[K, *input_shape]` at which the worst bounds are attained; says what was
found there, a counterexample, or None."""


@dataclass
class Search:
    """The account of a search: the worst open margin, the smallest proved one, domains bounded,
    the most splits of one, those given up because nothing was left to split and
    the worst margin of these, domains still open, their bytes,
    and the most that ever were, and what was found, if a counterexample was."""

    worst: float = float("-inf")
    proved: float = float("inf")
    visited: int = 0
    stuck: int = 0
    hardest: float = float("inf")
    depth: int = 0
    open: int = 0
    frontier_bytes: int = 0
    widest: int = 0
    found: object = None

    def count(self, margin: Tensor) -> Tensor:
        """Enter margins `[D]`: the smallest proved one is kept. The mask of those still open."""
        still = ~(margin > 0)
        if not bool(still.all()):
            self.proved = min(self.proved, float(margin[~still].min()))
        return still

    def give_up(self, margin: Tensor) -> None:
        """Enter domains, by their margins `[D]`, of which nothing is left to split."""
        if len(margin):
            self.stuck += len(margin)
            self.hardest = min(self.hardest, float(margin.min()))

    def enter(self, parts: Sequence[Search]) -> None:
        """Add what was bounded in parts of a round."""
        every = [self, *parts]
        self.proved = min(part.proved for part in every)
        self.visited = sum(part.visited for part in every)
        self.stuck = sum(part.stuck for part in every)
        self.hardest = min(part.hardest for part in every)
        self.depth = max(part.depth for part in every)

    def survey(self, frontier: Frontier[Any]) -> None:
        """Enter what is open."""
        self.worst = min(frontier.worst, self.hardest)
        self.open, self.frontier_bytes = len(frontier), frontier.bytes

    def join(self, parts: Sequence[Search]) -> None:
        """Become the account of all groups' parts of one search."""
        self.stuck = self.visited = 0
        self.enter(parts)
        self.worst = min(part.worst for part in parts)
        self.open = sum(part.open for part in parts)
        self.frontier_bytes = sum(part.frontier_bytes for part in parts)
        self.widest = max(self.widest, self.open)
        self.found = next((part.found for part in parts if part.found), None)

    def tell(self, progress: Progress) -> None:
        progress.update(
            open=self.open,
            visited=self.visited,
            margin=self.worst,
            depth=self.depth,
            stuck=self.stuck,
            frontier_bytes=self.frontier_bytes,
        )


class Searcher(Protocol):
    """Whoever pops batches off a frontier."""

    frontier: Frontier[Any]
    search: Search
    batch: int
    clock: Clock
    groups: Groups
    look: Look
    device: torch.device


@contextmanager
def give_way(searcher: Searcher, parents: Any) -> Iterator[None]:
    """Work on a popped batch; whatever interrupts it, its domains go back to the frontier.

    Out of memory is not passed on while batches can be halved, but where ranks work in step none
    can go back alone.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        searcher.frontier.push(parents)
        if searcher.batch == 1 or searcher.groups.ranks > 1:
            raise
        searcher.batch = max(1, searcher.batch // 2)
        torch.cuda.empty_cache()
        searcher.clock.progress.warn(f"out of memory: batches now have {searcher.batch} domains")
    except BaseException:
        searcher.frontier.push(parents)
        raise
