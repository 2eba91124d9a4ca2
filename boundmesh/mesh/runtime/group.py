"""The ranks along one axis of the mesh, and the collectives that they run together."""

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

# A rank that has lost another one waits so many seconds before it raises an error. The launcher
# ends it in this time, so that only the rank that failed prints an error.
RESPITE = 5


@dataclass(frozen=True)
class Pending:
    """A collective that was started and may still be running."""

    work: dist.Work

    def wait(self) -> None:
        """Wait until it is done. On a GPU, only work that is queued from now on waits for it."""
        with _collective():
            self.work.wait()


class Group:
    """A process group of `size` ranks, in which this process has the number `rank`.

    Every rank must call the same collectives in the same order. `calls` counts them and `received`
    counts the bytes received, by the name of the collective.
    """

    def __init__(self, handle: dist.ProcessGroup) -> None:
        self._handle = handle
        self.rank, self.size = dist.get_rank(handle), dist.get_world_size(handle)
        self.calls: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    def all_gather(self, whole: Tensor, piece: Tensor) -> Pending:
        """Start to fill `whole` with every rank's `piece`, in rank order along dim 0."""
        self._count("all_gather", whole.nbytes - piece.nbytes)
        with _collective():
            return Pending(all_gather_single(whole, piece, group=self._handle, async_op=True))

    def all_gather_numbers(self, numbers: Sequence[int], device: torch.device) -> list[list[int]]:
        """Return every rank's whole numbers, in rank order, by one all-gather on a device."""
        sent = torch.tensor(numbers).to(device)
        gathered = sent.new_empty(self.size * len(sent))
        self.all_gather(gathered, sent).wait()
        numbers_by_rank: list[list[int]] = gathered.reshape(-1, len(sent)).tolist()
        return numbers_by_rank

    def reduce_scatter(self, piece: Tensor, whole: Tensor) -> Pending:
        """Start to fill `piece` with this rank's piece, along dim 0, of the sum of all `whole`."""
        self._count("reduce_scatter", whole.nbytes - piece.nbytes)
        with _collective():
            return Pending(reduce_scatter_single(piece, whole, group=self._handle, async_op=True))

    def all_to_all(
        self, received: Tensor, sent: Tensor, takes: list[int], gives: list[int]
    ) -> Pending:
        """Start to send `gives[r]` rows of `sent` to each rank r and to receive `takes[r]` from it.

        The rows arrive in `received`, in rank order along dim 0.
        """
        kept = received[0].nbytes * takes[self.rank] if len(received) else 0
        self._count("all_to_all", received.nbytes - kept)
        with _collective():
            return Pending(
                dist.all_to_all_single(
                    received, sent, takes, gives, group=self._handle, async_op=True
                )
            )

    def all_reduce(self, values: Tensor) -> None:
        """Replace `values` by their sum over the ranks."""
        self._count("all_reduce", values.nbytes)
        with _collective():
            dist.all_reduce(values, group=self._handle)

    def broadcast_object(self, value: Value) -> Value:
        """Return the first rank's value, any picklable object, by a broadcast on the CPU."""
        received = [value]
        with _collective():
            dist.broadcast_object_list(received, group_src=0, group=self._handle, device=CPU)
        self._count("broadcast", 0)
        return received[0]

    def agree(self, value: Value) -> Value:
        """Return the first rank's value.

        Raises KeyboardInterrupt on all ranks if the first rank was interrupted.
        """
        received, ended = value, INTERRUPTION.take()
        if self.size > 1:
            # A clock is read at every step: pickling two numbers would take longer than sending.
            broadcast = self._broadcast_numbers if type(value) is float else self.broadcast_object
            received, ended = broadcast((value, ended))
        if ended:
            raise KeyboardInterrupt
        return received

    def _broadcast_numbers(self, numbers: tuple[Value, bool]) -> tuple[Value, bool]:
        """Return the first rank's float and bool, by one broadcast of a tensor."""
        sent = torch.tensor(numbers, dtype=torch.float64)
        self._count("broadcast", 0)
        with _collective():
            dist.broadcast(sent, group_src=0, group=self._handle)
        number, truth = sent.tolist()
        return number, bool(truth)

    def swap(self, values: Sequence[Value]) -> list[Value]:
        """Send `values[r]` to each rank r; return what each rank sent to this one, in rank order.

        The values are any picklable objects.
        """
        parts = [_packed(value) for value in values]
        gives = torch.tensor([len(part) for part in parts])
        takes = torch.empty_like(gives)
        ones = [1] * self.size
        self.all_to_all(takes, gives, ones, ones).wait()
        received = torch.empty(int(takes.sum()), dtype=torch.uint8)
        self.all_to_all(received, torch.cat(parts), takes.tolist(), gives.tolist()).wait()
        ends = pairwise(accumulate(takes.tolist(), initial=0))
        return [_unpacked(received[low:high]) for low, high in ends]

    def all_gather_object(self, value: Value) -> list[Value]:
        """Return every rank's value, any picklable object, in rank order."""
        received: list[Value] = [value] * self.size
        with _collective():
            dist.all_gather_object(received, value, group=self._handle)
        self._count("all_gather_object", 0)
        return received

    def _count(self, kind: str, received: int) -> None:
        self.calls[kind] += 1
        self.received[kind] += received


def _packed(value: object) -> Tensor:
    return torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)


def _unpacked(packed: Tensor) -> Any:
    return pickle.loads(packed.numpy().tobytes())


@contextmanager
def _collective() -> Iterator[None]:
    """Run a collective. Raises DeviceError if another rank has ended."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ConnectionError) as error:
        time.sleep(RESPITE)
        raise DeviceError(
            f"the ranks lost each other: one has failed or was stopped ({error})"
        ) from error
