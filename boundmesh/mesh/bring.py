"""How a part of a weight comes to a device: from the other ranks, from host memory, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from boundmesh.mesh.group import Group


class Waiting(Protocol):
    """Something under way."""

    def wait(self) -> None:
        """Go on when it is done; on a GPU, let what is queued from now on wait for it."""
        ...


class Bring(Protocol):
    """Brings parts to this rank; `resident` says whether shards lie on the device."""

    rank: int
    ranks: int
    resident: bool

    def store(self, shard: Tensor, device: torch.device) -> Tensor:
        """A shard, read into host memory, where it is to lie."""
        ...

    def begin(self, whole: Tensor, shard: Tensor) -> Waiting:
        """Begin to fill `whole` `[P·c, …]` with the shards `[c, …]` of all ranks."""
        ...


class FromRanks:
    """Shards lie on the devices; one all-gather brings a part."""

    resident = True

    def __init__(self, group: Group) -> None:
        self._group = group
        self.rank, self.ranks = group.rank, group.size

    def store(self, shard: Tensor, device: torch.device) -> Tensor:
        return shard.to(device).contiguous()

    def begin(self, whole: Tensor, shard: Tensor) -> Waiting:
        return self._group.all_gather(whole, shard)


class FromHost:
    """Shards lie in pinned host memory; a copy beside the computation stages them, and where there
    are several ranks an all-gather joins what each has staged."""

    resident = False

    def __init__(self, device: torch.device, group: Group | None = None) -> None:
        self._group, self._cuda = group, device.type == "cuda"
        self.rank, self.ranks = (group.rank, group.size) if group else (0, 1)
        self._beside = torch.cuda.Stream(device) if self._cuda else None

    def store(self, shard: Tensor, device: torch.device) -> Tensor:
        shard = shard.contiguous()
        return shard.pin_memory() if self._cuda else shard

    def begin(self, whole: Tensor, shard: Tensor) -> Waiting:
        if self._beside is None:
            return self._stage(whole, shard)
        # What is queued so far may still read the buffer that `whole` lies in.
        self._beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._beside):
            return self._stage(whole, shard)

    def _stage(self, whole: Tensor, shard: Tensor) -> Waiting:
        height = len(shard)
        mine = whole[self.rank * height : (self.rank + 1) * height]
        mine.copy_(shard, non_blocking=True)
        if self._group is not None:
            return self._group.all_gather(whole, mine)
        return Staged(torch.cuda.current_stream().record_event() if self._cuda else None)


@dataclass(frozen=True)
class Staged:
    """A copy queued on a stream of its own; None where it is done already."""

    event: torch.cuda.Event | None

    def wait(self) -> None:
        if self.event is not None:
            torch.cuda.current_stream().wait_event(self.event)
