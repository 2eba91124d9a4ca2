"""A check that what is computed once, and read by later work, is not computed in a recording.

A kernel that is recorded has not run yet. A tensor that is kept for later work would hold any
values if the recording failed before it was replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NOTHING_NEW: ContextVar[bool] = ContextVar("nothing_new", default=False)


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
