"""The frontier: open domains, in host memory, worst bound first."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bab.domain import Domains


class Frontier:
    """Open domains in compact form. Nothing leaves it but by `pop`."""

    def __init__(self) -> None:
        self._parts: list[Domains] = []

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

    def push(self, domains: Domains) -> None:
        """Take domains in, from whichever device."""
        if len(domains):
            self._parts.append(domains.to(torch.device("cpu")))

    def pop(self, count: int) -> Domains:
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

    def drop(self, clauses: Tensor) -> int:
        """Forget the domains of `clauses` (which are decided otherwise); how many there were."""
        before = len(self)
        self._parts = [part.take(~torch.isin(part.clause, clauses)) for part in self._parts]
        return before - len(self)

    def _whole(self) -> Domains:
        if len(self._parts) > 1:
            self._parts = [Domains.join(self._parts)]
        return self._parts[0]
