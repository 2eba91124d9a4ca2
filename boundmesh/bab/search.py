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
    """The account of a search: the worst open margin, domains bounded, the most splits of one,
    those given up because nothing was left to split, and whether a counterexample was found."""

    worst: float
    visited: int = 0
    stuck: int = 0
    depth: int = 0
    found: bool = False

    def tell(self, frontier: Frontier[Any], progress: Progress) -> None:
        self.worst = frontier.worst
        progress.update(
            open=len(frontier),
            visited=self.visited,
            margin=self.worst,
            depth=self.depth,
            stuck=self.stuck,
            frontier_bytes=frontier.bytes,
        )


class Searcher(Protocol):
    """Whoever pops batches off a frontier."""

    frontier: Frontier[Any]
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
        raise
