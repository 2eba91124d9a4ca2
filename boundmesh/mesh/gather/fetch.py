"""Parts of weights on their way to where they are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from boundmesh.bounds.sweep.node_weights import Part
from boundmesh.mesh.gather.sources import Waiting, WeightSource

# Parts under way or at hand before they are used.
AHEAD = 4


@dataclass(frozen=True)
class Shard:
    """What this rank knows of the part `low ≤ i < high` of a weight: enough to bring it, or where
    it lies."""

    low: int
    high: int
    held: Any


class Fetch:
    """Fetches parts in order, the next one, if a buffer is free, while the last one is in use; what
    lies at hand keeps no other one waiting."""

    def __init__(
        self, shards: Iterable[Shard], bring: WeightSource, buffers: Sequence[Tensor]
    ) -> None:
        self._waiting, self._bring = deque(shards), bring
        self._free = deque(buffers)
        self._flying: deque[tuple[Shard, Brought]] = deque()

    def parts(self, count: int) -> Iterator[Part]:
        """The next `count` parts; each is valid until the one after it is asked for."""
        for left in reversed(range(count)):
            self._launch()
            shard, brought = self._flying.popleft()
            brought.wait()
            self._launch()
            yield Part(shard.low, shard.high, brought.part)
            if brought.buffer is not None:
                # The last part may be used after this; then the next node is asked for.
                if left:
                    self._bring.done_with(brought.buffer)
                self._free.append(brought.buffer)

    def close(self) -> None:
        """Wait for what is under way and forget the rest."""
        while self._flying:
            self._flying.popleft()[1].wait()
        self._waiting.clear()

    def _launch(self) -> None:
        while self._waiting and len(self._flying) < AHEAD:
            shard = self._waiting[0]
            at_hand = self._at_hand(shard.held)
            if at_hand is not None:
                brought = Brought(at_hand)
            elif self._free:
                buffer = self._free.popleft()
                brought = Brought(*self._bring.begin(shard.held, buffer), buffer)
            else:
                return
            self._waiting.popleft()
            self._flying.append((shard, brought))

    def _at_hand(self, held: Any) -> Tensor | None:
        return held if isinstance(held, Tensor) else self._bring.at_hand(held)


@dataclass(frozen=True)
class Brought:
    """A part on its way, and the buffer that it will lie in; none where it is at hand."""

    part: Tensor
    waiting: Waiting | None = None
    buffer: Tensor | None = None

    def wait(self) -> None:
        if self.waiting is not None:
            self.waiting.wait()
