"""A source of weights that ranks of one host read from each other's memory, without collectives.

If a weight has at least P parts, each part goes whole to the rank that holds the fewest numbers so
far. Otherwise every rank holds a piece of ⌈rows / P⌉ rows of every part. All ranks of the host can
read every rank's weights, on GPUs through CUDA's memory handles. Weights never change, so no rank
waits for another. A part is copied from the ranks that hold it, by the GPU's copy engine while
products run. A part that lies whole on this rank is used there, without a copy. Single rows are
read on the ranks that hold them.
"""

from __future__ import annotations

import inspect
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor

from boundmesh.graph.forward import tensor
from boundmesh.mesh.gather.sources import Span, Staged, WeightSource
from boundmesh.mesh.runtime.group import Group

Place = tuple[Tensor, list[tuple[Tensor, Tensor]]]
"""A part in a buffer, and pairs of tensors: a piece of the buffer, and the source of its copy."""


class FromPeers(WeightSource):
    """The weights of this rank, and those of other ranks mapped into its memory.

    Parts are numbered in the order of `store`. `_sources[number]` lists the ranks that hold the
    part, in the order of its rows.
    """

    alone = recordable = True
    longest = 0

    def __init__(self, group: Group, device: torch.device, dtype: torch.dtype) -> None:
        self._group, self._device, self._dtype = group, device, dtype
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._mine: dict[int, Tensor] = {}
        self._sources: list[Sequence[int]] = []
        self._load = [0] * group.size
        self._parts: list[tuple[Tensor, ...]] = []
        self._places: dict[tuple[int, int], Place] = {}
        self._unread: set[int] = set()

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._mine.values())

    @property
    def buffers(self) -> int:
        """How many buffers are needed: one if P = 2 and all parts are whole, else two.

        With two ranks, about every other part lies on this rank and needs no buffer.
        """
        dealt = all(len(ranks) == 1 for ranks in self._sources)
        return 1 if dealt and self._group.size == 2 else 2

    def store(self, array: np.ndarray, spans: Sequence[Span]) -> list[int]:
        dealt = len(spans) >= self._group.size
        return [self._store(array, *span, dealt) for span in spans]

    def _store(self, array: np.ndarray, begin: int, end: int, dealt: bool) -> int:
        number, rank, ranks = len(self._sources), self._group.rank, self._group.size
        length = array[0].size
        self.longest = max(self.longest, (end - begin) * length)
        if dealt:
            least = self._load.index(min(self._load))
            self._load[least] += (end - begin) * length
            self._sources.append([least])
            if least == rank:
                self._keep(number, array[begin:end])
            return number
        height = -(-(end - begin) // ranks)
        self._sources.append(range(-(-(end - begin) // height)))
        if rank in self._sources[number]:
            self._keep(number, array[begin + rank * height : min(begin + (rank + 1) * height, end)])
        return number

    def _keep(self, number: int, rows: np.ndarray) -> None:
        self._mine[number] = tensor(rows).to(self._device, self._dtype).contiguous()

    def connect(self) -> None:
        if self._beside is not None:
            torch.cuda.synchronize(self._device)
        handles = self._group.all_gather_object(
            {n: reduce_tensor(tensor) for n, tensor in self._mine.items()}
        )
        self._parts = [
            tuple(
                self._mine[number] if rank == self._group.rank
                else _mapped(handles[rank][number], self._device)
                for rank in ranks
            )
            for number, ranks in enumerate(self._sources)
        ]  # fmt: skip

    def rows(self, stored: int, begin: int, end: int) -> list[Tensor]:
        runs, first = [], 0
        for piece in self._parts[stored]:
            runs.append(piece[max(begin - first, 0) : max(end - first, 0)])
            first += len(piece)
        return [run for run in runs if len(run)]

    @property
    def deals(self) -> bool:
        return any(len(ranks) == 1 for ranks in self._sources)

    def holder(self, stored: int) -> int | None:
        ranks = self._sources[stored]
        return ranks[0] if len(ranks) == 1 else None

    def at_hand(self, stored: int) -> Tensor | None:
        parts = self._parts[stored]
        here = self._beside is None or stored in self._mine
        return parts[0] if here and len(parts) == 1 else None

    def begin(self, stored: int, buffer: Tensor) -> tuple[Tensor, Staged]:
        whole, copies = self._place(stored, buffer)
        if self._beside is None:
            for place, piece in copies:
                place.copy_(piece)
            return whole, Staged(None)
        readers = torch.cuda.current_stream()
        with torch.cuda.stream(self._beside):
            if not self._is_unread(buffer):
                self._beside.wait_stream(readers)
            for place, piece in copies:
                place.copy_(piece, non_blocking=True)
            return whole, Staged(self._beside.record_event())

    def done_with(self, buffer: Tensor) -> None:
        # Outside of a recording nothing is noted: recorded steps and others are in order only on
        # the stream that starts both, for which `begin` waits.
        if self._beside is not None and torch.cuda.is_current_stream_capturing():
            self._beside.wait_stream(torch.cuda.current_stream())
            self._unread.add(buffer.data_ptr())

    def _is_unread(self, buffer: Tensor) -> bool:
        """Return True if `done_with` was called for the buffer during the current recording.

        Otherwise work that is queued already may still read the buffer.
        """
        if buffer.data_ptr() not in self._unread:
            return False
        self._unread.remove(buffer.data_ptr())
        return torch.cuda.is_current_stream_capturing()

    def _place(self, stored: int, buffer: Tensor) -> Place:
        """Return the place of a part in a buffer and the copies that fill it."""
        key = stored, buffer.data_ptr()
        if key not in self._places:
            pieces = self._parts[stored]
            heights = [len(piece) for piece in pieces]
            size = sum(piece.numel() for piece in pieces)
            whole = buffer[:size].view(sum(heights), *pieces[0].shape[1:])
            self._places[key] = whole, [*zip(whole.split(heights), pieces, strict=True)]
        return self._places[key]


def reachable(group: Group, device: torch.device) -> bool:
    """Return True if all ranks use GPUs of one host that can read each other's memory."""
    if device.type != "cuda":
        return False
    places = group.all_gather_object((socket.gethostname(), device.index))
    (host, _), indices = places[0], {index for _, index in places}
    near = (
        all(place[0] == host for place in places)
        and len(indices) == len(places)
        and max(indices) < torch.cuda.device_count()
        and all(_reads(device, index) for index in indices)
    )
    return all(group.all_gather_object(near))


def _reads(device: torch.device, index: int) -> bool:
    return index == device.index or torch.cuda.can_device_access_peer(device, index)


def _mapped(handle: tuple[Any, tuple[Any, ...]], device: torch.device) -> Tensor:
    """Open another rank's tensor from this rank's device.

    A CUDA context on the other rank's device would take memory there. No event is needed, as the
    other rank has synchronised after it stored the tensor.
    """
    rebuild, arguments = handle
    call = inspect.signature(rebuild).bind(*arguments)
    if device.type == "cuda":
        call.arguments |= {"storage_device": device.index, "event_sync_required": False}
    result: Tensor = rebuild(*call.args, **call.kwargs)
    return result
