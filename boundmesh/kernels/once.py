"""Tensors that are computed once and read by later work are not computed in a recording.

A kernel that is recorded has not run yet. A tensor that is kept for later work would hold any
values if the recording failed before it was replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

Tables = dict[int, tuple[Tensor, Tensor]]
"""Weights and the tables that were computed from them, by the identity of the weights."""

_NOTHING_NEW: ContextVar[bool] = ContextVar("nothing_new", default=False)
_TABLES: ContextVar[Tables | None] = ContextVar("tables", default=None)


@contextmanager
def nothing_new() -> Iterator[None]:
    """A context in which `once` raises, as all that later work shares must be computed before."""
    before = _NOTHING_NEW.set(True)
    try:
        yield
    finally:
        _NOTHING_NEW.reset(before)


def once() -> None:
    """Raise RuntimeError within `nothing_new`; called before tensors are computed and kept."""
    if _NOTHING_NEW.get():
        raise RuntimeError("tensors that later work shares must be computed before a recording")


@contextmanager
def keeping(tables: Tables | None) -> Iterator[None]:
    """A context in which `kept` stores tables in `tables` (None: it stores nothing).

    The weights must stay as they are as long as the tables are in use.
    """
    before = _TABLES.set(tables)
    try:
        yield
    finally:
        _TABLES.reset(before)


def kept(weight: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `compute(weight)`, which a context of `keeping` computes once for each weight."""
    tables = _TABLES.get()
    if tables is None:
        return compute(weight)
    known = tables.get(id(weight))
    if known is not None:
        return known[1]
    table = compute(weight)
    if not _NOTHING_NEW.get():
        tables[id(weight)] = weight, table
    return table
