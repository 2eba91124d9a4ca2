"""The frontier: the open domains, in host memory. The domains with the worst bounds leave first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor

from boundmesh.search.batches import Kind, join

CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Chunk(Generic[Kind]):
    """Domains that were pushed at the same time; those at `places` are still in the frontier."""

    domains: Kind
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)

    @property
    def margin(self) -> Tensor:
        return self.domains.margin[self.places]

    @property
    def left(self) -> Kind:
        whole = len(self.places) == len(self.domains)
        return self.domains if whole else self.domains.take(self.places)

    def divide(self, out: Tensor) -> tuple[Kind, _Chunk[Kind]]:
        """Return the domains in the mask `out`, and a chunk of the others.

        The others are copied only once they are few.
        """
        gone, rest = self.domains.take(self.places[out]), self.places[~out]
        if 2 * len(rest) < len(self.domains):
            return gone, _chunk(self.domains.take(rest))
        return gone, _Chunk(self.domains, rest)


def _chunk(domains: Kind) -> _Chunk[Kind]:
    return _Chunk(domains, torch.arange(len(domains)))


class Frontier(Generic[Kind]):
    """The open domains in compact form. Domains leave it only by `pop` and `give`.

    A round copies only the domains that it takes out and puts in. Domains lie in chunks, and a new
    chunk is joined to the chunks before it only while they are no longer than the new one.
    """

    def __init__(self) -> None:
        self._chunks: list[_Chunk[Kind]] = []

    def __len__(self) -> int:
        return sum(map(len, self._chunks))

    @property
    def worst(self) -> float:
        """The smallest margin of any domain; infinite when there is none."""
        return min((float(chunk.margin.min()) for chunk in self._chunks), default=float("inf"))

    @property
    def bytes(self) -> int:
        return sum(chunk.domains.bytes for chunk in self._chunks)

    def push(self, domains: Kind) -> None:
        """Add domains, from any device."""
        if not len(domains):
            return
        together = [domains.to(CPU)]
        while self._chunks and len(self._chunks[-1]) <= sum(map(len, together)):
            together.append(self._chunks.pop().left)
        self._chunks.append(_chunk(join(together) if len(together) > 1 else together[0]))

    def pop(self, count: int) -> Kind:
        """Take out the `count` domains of smallest margin, or all if there are fewer.

        The frontier must not be empty.
        """
        if len(self) <= count:
            remaining = join([chunk.left for chunk in self._chunks])
            self._chunks = []
            return remaining
        margins = torch.cat([chunk.margin for chunk in self._chunks])
        return self._take_out(torch.topk(margins, count, largest=False).indices)

    def give(self, count: int) -> Kind:
        """Take out `count` domains, at most all, for another group.

        They are every k-th domain in the order of margins, so that the hard domains are divided as
        well as the easy ones.
        """
        order = torch.argsort(torch.cat([chunk.margin for chunk in self._chunks]))
        return self._take_out(order[torch.arange(count) * len(order) // max(1, count)])

    def _take_out(self, chosen: Tensor) -> Kind:
        """Take out the domains at `chosen`, counted over all chunks side by side."""
        out = torch.zeros(len(self), dtype=torch.bool).index_fill(0, chosen, True)
        masks = out.split([len(chunk) for chunk in self._chunks])
        parts = [chunk.divide(mask) for chunk, mask in zip(self._chunks, masks, strict=True)]
        left = (rest for _, rest in parts if len(rest))
        self._chunks = sorted(left, key=len, reverse=True)
        return join([gone for gone, _ in parts])
