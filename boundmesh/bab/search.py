"""What every search of branch and bound shares: its account, and a frontier that loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from boundmesh.bab.frontier import Frontier
from boundmesh.clock import Clock
from boundmesh.report.progress import Progress

Look = Callable[[Tensor], bool]
"""Is told the inputs `[K, *input_shape]` at which the worst bounds are attained; True: found."""


@dataclass
class Search:
    """The account of a search: the worst open margin, the smallest proved one, domains bounded,
    the most splits of one, those given up because nothing was left to split and
    the worst margin of these, domains still open
    and the most that ever were, and whether a counterexample was found."""

    worst: float = float("-inf")
    proved: float = float("inf")
    visited: int = 0
    stuck: int = 0
    hardest: float = float("inf")
    depth: int = 0
    open: int = 0
    widest: int = 0
    found: bool = False

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

    def tell(self, frontier: Frontier[Any], progress: Progress) -> None:
        self.worst, self.open = min(frontier.worst, self.hardest), len(frontier)
        self.widest = max(self.widest, self.open)
        progress.update(
            open=self.open,
            visited=self.visited,
            margin=self.worst,
            depth=self.depth,
            stuck=self.stuck,
            frontier_bytes=frontier.bytes,
        )


class Searcher(Protocol):
    """Whoever pops batches off a frontier."""

    frontier: Frontier[Any]
    search: Search
    batch: int
    clock: Clock


@contextmanager
def give_way(searcher: Searcher, parents: Any) -> Iterator[None]:
    """Work on a popped batch; whatever interrupts it, its domains go back to the frontier.

    Out of memory is not passed on while batches can be halved.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        searcher.frontier.push(parents)
        if searcher.batch == 1:
            raise
        searcher.batch = max(1, searcher.batch // 2)
        torch.cuda.empty_cache()
        searcher.clock.progress.warn(f"out of memory: batches now have {searcher.batch} domains")
    except BaseException:
        searcher.frontier.push(parents)
        searcher.search.tell(searcher.frontier, searcher.clock.progress)
        raise
