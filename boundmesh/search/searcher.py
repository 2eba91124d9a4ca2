"""Defines what every branch-and-bound search shares: an interrupted round loses no domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from boundmesh.proof.account import SearchAccount
from boundmesh.runtime.clock import Clock
from boundmesh.search.frontier import Frontier
from boundmesh.search.parallel.groups import Groups

Look = Callable[[Tensor], object]
"""Replays the inputs `[K, *input_shape]` at which the worst bounds are attained; returns the
counterexample among them, or None."""


class Searcher(Protocol):
    """A search that takes batches off a frontier.

    frontier  the open domains
    search    the account of the search
    batch     the number of domains in a batch
    clock     raises OutOfTime at the deadline
    groups    the groups of ranks that search together
    look      replays points
    device    the device that bounds the domains
    """

    frontier: Frontier[Any]
    search: SearchAccount
    batch: int
    clock: Clock
    groups: Groups
    look: Look
    device: torch.device


@contextmanager
def give_way(searcher: Searcher, parents: Any) -> Iterator[None]:
    """Put the domains of a popped batch back into the frontier if the work of the context fails.

    Running out of memory halves the batch size and is not raised, as long as the size can be
    halved. It is raised where ranks work in step, since no rank can repeat a batch alone.
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
