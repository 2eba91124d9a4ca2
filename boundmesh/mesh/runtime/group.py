"""The ranks along one axis of the mesh and the collectives they run together."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from boundmesh.errors import DeviceError
from boundmesh.runtime.interruption import INTERRUPTION

try:
    from torch.distributed import all_gather_single, reduce_scatter_single
except ImportError:  # the names until torch 2.12
    from torch.distributed import all_gather_into_tensor as all_gather_single
    from torch.distributed import reduce_scatter_tensor as reduce_scatter_single

Value = TypeVar("Value")
CPU = torch.device("cpu")

# Seconds in which the launcher ends a rank that has lost another one, so that the one that failed
# is the only one to speak.
RESPITE = 5


@dataclass(frozen=True)
class Pending:
    """A collective under way."""

    work: dist.Work

    def wait(self) -> None:
        """Go on when it is done; on a GPU, let what is queued from now on wait for it."""
        with _together():
            self.work.wait()


class Group:
    """A process group; `calls` and `received` count its collectives and the bytes that came in.

    Every rank must call the same collectives in the same order.
    """

    def __init__(self, handle: dist.ProcessGroup) -> None:
        self._handle = handle
        self.rank, self.size = dist.get_rank(handle), dist.get_world_size(handle)
        self.calls: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    def all_gather(self, whole: Tensor, mine: Tensor) -> Pending:
        """Begin to fill `whole` with every rank's `mine`, in rank order along dim 0."""
        self._count("all_gather", whole.nbytes - mine.nbytes)
        with _together():
            return Pending(all_gather_single(whole, mine, group=self._handle, async_op=True))

    def reduce_scatter(self, mine: Tensor, whole: Tensor) -> Pending:
        """Begin to fill `mine` with this rank's piece, along dim 0, of the sum of all `whole`."""
        self._count("reduce_scatter", whole.nbytes - mine.nbytes)
        with _together():
            return Pending(reduce_scatter_single(mine, whole, group=self._handle, async_op=True))

    def all_to_all(
        self, received: Tensor, sent: Tensor, takes: list[int], gives: list[int]
    ) -> Pending:
        """Begin to send `gives[r]` rows of `sent` to each rank r, and take `takes[r]` from it."""
        kept = received[0].nbytes * takes[self.rank] if len(received) else 0
        self._count("all_to_all", received.nbytes - kept)
        with _together():
            return Pending(
                dist.all_to_all_single(
                    received, sent, takes, gives, group=self._handle, async_op=True
                )
            )

    def all_reduce(self, values: Tensor) -> None:
        """Replace `values` by their sum over the ranks."""
        self._count("all_reduce", values.nbytes)
        with _together():
            dist.all_reduce(values, group=self._handle)

    def first_says(self, value: Value) -> Value:
        """The first rank's value, whatever picklable thing it is; on the CPU."""
        said = [value]
        with _together():
            dist.broadcast_object_list(said, group_src=0, group=self._handle, device=CPU)
        self._count("broadcast", 0)
        return said[0]

    def agree(self, value: Value) -> Value:
        """The first rank's value; KeyboardInterrupt on all once the first was asked to end."""
        said, ended = value, INTERRUPTION.take()
        if self.size > 1:
            # Clocks are asked at every step: packing two numbers would take longer than sending.
            tell = self._first_tells if type(value) is float else self.first_says
            said, ended = tell((value, ended))
        if ended:
            raise KeyboardInterrupt
        return said

    def _first_tells(self, numbers: tuple[Value, bool]) -> tuple[Value, bool]:
        """`first_says` of a float and a truth, in one message."""
        told = torch.tensor(numbers, dtype=torch.float64)
        self._count("broadcast", 0)
        with _together():
            dist.broadcast(told, group_src=0, group=self._handle)
        number, truth = told.tolist()
        return number, bool(truth)

    def swap(self, values: Sequence[Value]) -> list[Value]:
        """Give `values[r]` to each rank r; what each rank has for this one, in rank order."""
        parts = [_packed(value) for value in values]
        gives = torch.tensor([len(part) for part in parts])
        takes = torch.empty_like(gives)
        ones = [1] * self.size
        self.all_to_all(takes, gives, ones, ones).wait()
        received = torch.empty(int(takes.sum()), dtype=torch.uint8)
        self.all_to_all(received, torch.cat(parts), takes.tolist(), gives.tolist()).wait()
        ends = pairwise(accumulate(takes.tolist(), initial=0))
        return [_unpacked(received[low:high]) for low, high in ends]

    def every(self, value: Value) -> list[Value]:
        """Every rank's value, whatever picklable things they are, in rank order; on the CPU."""
        said: list[Value] = [value] * self.size
        with _together():
            dist.all_gather_object(said, value, group=self._handle)
        self._count("all_gather_object", 0)
        return said

    def _count(self, kind: str, received: int) -> None:
        self.calls[kind] += 1
        self.received[kind] += received


def _packed(value: object) -> Tensor:
    return torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)


def _unpacked(packed: Tensor) -> Any:
    return pickle.loads(packed.numpy().tobytes())


@contextmanager
def _together() -> Iterator[None]:
    """Run a collective; DeviceError where another rank is gone."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ConnectionError) as error:
        time.sleep(RESPITE)
        raise DeviceError(
            f"the ranks lost each other: one has failed or was stopped ({error})"
        ) from error
