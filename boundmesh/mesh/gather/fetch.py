"""Fetches the parts of weights to this rank's device, ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from boundmesh.bounds.sweep.node_weights import Part
from boundmesh.mesh.gather.sources import Waiting, WeightSource

# How many parts may be on their way, or on the device already, before they are used.
AHEAD = 4


@dataclass(frozen=True)
class Shard:
    """A part of a weight, before it is fetched.

    low, high  the part has the outputs `low ≤ i < high`
    stored     the part itself, if this rank can read it where it lies (a Tensor); else the key
               that `WeightSource.store` returned for it
    """

    low: int
    high: int
    stored: Any


class Fetch:
    """Fetches parts in order; the next one is on its way while the last one is used.

    Each part on its way needs a free buffer of `buffers`. A part that this rank can read where it
    lies needs none.
    """

    def __init__(
        self, shards: Iterable[Shard], bring: WeightSource, buffers: Sequence[Tensor]
    ) -> None:
        self._waiting, self._bring = deque(shards), bring
        self._free = deque(buffers)
        self._flying: deque[tuple[Shard, Brought]] = deque()

    def parts(self, count: int) -> Iterator[Part]:
        """Yield the next `count` parts; each is valid until the next one is taken."""
        for left in reversed(range(count)):
            self._launch()
            shard, brought = self._flying.popleft()
            brought.wait()
            self._launch()
            yield Part(shard.low, shard.high, brought.part)
            if brought.buffer is not None:
                # The last part stays in use until the caller takes the next node.
                if left:
                    self._bring.done_with(brought.buffer)
                self._free.append(brought.buffer)

    def close(self) -> None:
        """Wait for the parts that are on their way, and drop the others."""
        while self._flying:
            self._flying.popleft()[1].wait()
        self._waiting.clear()

    def _launch(self) -> None:
        while self._waiting and len(self._flying) < AHEAD:
            shard = self._waiting[0]
            at_hand = self._at_hand(shard.stored)
            if at_hand is not None:
                brought = Brought(at_hand)
            elif self._free:
                buffer = self._free.popleft()
                brought = Brought(*self._bring.begin(shard.stored, buffer), buffer)
            else:
                return
            self._waiting.popleft()
            self._flying.append((shard, brought))

    def _at_hand(self, stored: Any) -> Tensor | None:
        return stored if isinstance(stored, Tensor) else self._bring.at_hand(stored)


@dataclass(frozen=True)
class Brought:
    """A part that is on its way, or that needs no fetching.

    part     the tensor, valid after `wait`
    waiting  the copy or collective that fills it (None: there is nothing to wait for)
    buffer   the buffer that contains it (None: it is read where it lies)
    """

    part: Tensor
    waiting: Waiting | None = None
    buffer: Tensor | None = None

    def wait(self) -> None:
        if self.waiting is not None:
            self.waiting.wait()
