"""Keeps tensors that are computed once for later work from being computed in a recording.

A kernel that is recorded has not run yet. A tensor that is kept for later work would hold any
values if the recording failed before it was replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

Tables = dict[int, tuple[Tensor, Tensor]]
"""Weights, or bounds of inputs, and the tables that were computed from them.

The identity of the first is the key.
"""

_DURING_RECORDING: ContextVar[bool] = ContextVar("during_recording", default=False)
_TABLES: ContextVar[Tables | None] = ContextVar("tables", default=None)


@contextmanager
def during_recording() -> Iterator[None]:
    """A context in which nothing is computed that later work shares, as it must be there before."""
    before = _DURING_RECORDING.set(True)
    try:
        yield
    finally:
        _DURING_RECORDING.reset(before)


def forbid_in_recording() -> None:
    """Raise RuntimeError within `during_recording`; called before tensors are computed and kept."""
    if _DURING_RECORDING.get():
        raise RuntimeError("tensors that later work shares must be computed before a recording")


@contextmanager
def keeping(tables: Tables | None) -> Iterator[None]:
    """A context in which `stored_table` stores tables in `tables` (None: it stores nothing).

    What they are computed from must stay as it is as long as they are in use.
    """
    before = _TABLES.set(tables)
    try:
        yield
    finally:
        _TABLES.reset(before)


def stored_table(source: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `compute(source)`, which a context of `keeping` computes once for each source.

    `compute` must be the same function for the same source.
    """
    tables = _TABLES.get()
    if tables is None:
        return compute(source)
    known = tables.get(id(source))
    if known is not None:
        return known[1]
    table = compute(source)
    if not _DURING_RECORDING.get():
        tables[id(source)] = source, table
    return table
