"""What every search of branch and bound shares: a frontier that loses nothing."""

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
"""Is told the inputs `[K, *input_shape]` at which the worst bounds are attained; says what was
found there, a counterexample, or None."""


class Searcher(Protocol):
    """Whoever pops batches off a frontier."""

    frontier: Frontier[Any]
    search: SearchAccount
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
