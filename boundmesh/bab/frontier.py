"""The frontier: open domains, in host memory, worst bound first."""

from __future__ import annotations

from typing import Generic

import torch

from boundmesh.bab.arrays import Kind, join


class Frontier(Generic[Kind]):
    """Open domains in compact form. Nothing leaves it but by `pop` and `give`."""

    def __init__(self) -> None:
        self._parts: list[Kind] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def worst(self) -> float:
        """The smallest margin of any domain; infinite when there is none."""
        lowest = [float(part.margin.min()) for part in self._parts if len(part)]
        return min(lowest, default=float("inf"))

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self._parts)

    def push(self, domains: Kind) -> None:
        """Take domains in, from whichever device."""
        if len(domains):
            self._parts.append(domains.to(torch.device("cpu")))

    def pop(self, count: int) -> Kind:
        """Take out up to `count` domains, those of the smallest margins."""
        every = self._whole()
        if len(every) <= count:
            self._parts = []
            return every
        order = torch.topk(every.margin, count, largest=False).indices
        rest = torch.ones(len(every), dtype=torch.bool)
        rest[order] = False
        self._parts = [every.take(rest)]
        return every.take(order)

    def give(self, count: int) -> Kind:
        """Take out `count` domains, at most all, for somebody else: every k-th by their margins, so
        that what is hard is divided as well."""
        every = self._whole()
        order = torch.argsort(every.margin)
        chosen = order[torch.arange(count) * len(order) // max(1, count)]
        rest = torch.ones(len(every), dtype=torch.bool)
        rest[chosen] = False
        self._parts = [every.take(rest)]
        return every.take(chosen)

    def _whole(self) -> Kind:
        if len(self._parts) > 1:
            self._parts = [join(self._parts)]
        return self._parts[0]
