"""Rows times a weight that is dealt in parts, where all ranks have the rows.

A few rows are far smaller than a weight, so they go where its parts are. For rows `A [R, out]` and
a weight `W [out, in]`, whose part p has the outputs [low, high):

    rows        A[:, low:high] W[p] → [R, in] where p lies; an all-gather; added in their order
    gradients   G W[p]ᵀ → [R, high − low] where p lies; an all-gather; side by side

The products and sums are those of one device. So are the bits, where a product's do not depend on
whether it is added to something at once, as `matmul.py`'s do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.kernels.matmul import mm
from boundmesh.mesh.runtime.group import Group


@dataclass(frozen=True)
class Place:
    """The outputs `low ≤ i < high` of a part and the rank that holds it, whose `number`-th part it
    is, after parts with `before` outputs."""

    low: int
    high: int
    holder: int
    number: int
    before: int

    @property
    def columns(self) -> slice:
        """Where its outputs stand among those that the rank holds."""
        return slice(self.before, self.before + self.high - self.low)


def part_places(spans: Sequence[tuple[int, int]], holders: Sequence[int]) -> list[Place]:
    """Where parts with these outputs lie, in their order."""
    numbers: Counter[int] = Counter()
    outputs: Counter[int] = Counter()
    found = []
    for (low, high), holder in zip(spans, holders, strict=True):
        found.append(Place(low, high, holder, numbers[holder], outputs[holder]))
        numbers[holder] += 1
        outputs[holder] += high - low
    return found


@dataclass(frozen=True)
class DistributedProduct:
    """A linear weight with `inputs` inputs, and the parts `mine` that this rank holds of it, in
    their order. All ranks multiply together."""

    group: Group
    inputs: int
    places: Sequence[Place]
    mine: Sequence[Tensor]

    def times(self, rows: Tensor) -> Tensor:
        """`A W`, `[R, out]` → `[R, in]`."""
        rounds = max(place.number for place in self.places) + 1
        sent = rows.new_empty(rounds, len(rows), self.inputs)
        for place, weight in self._own():
            mm(rows[:, place.low : place.high], weight, sent[place.number])
        every = self._gathered(sent)
        total, *others = (every[place.holder, place.number] for place in self.places)
        for product in others:
            total = total + product
        return total

    def transposed(self, gradients: Tensor) -> Tensor:
        """`G Wᵀ`, `[R, in]` → `[R, out]`."""
        widest = max(place.columns.stop for place in self.places)
        sent = gradients.new_empty(len(gradients), widest)
        for place, weight in self._own():
            mm(gradients, weight.mT, sent[:, place.columns])
        every = self._gathered(sent)
        return torch.cat([every[place.holder][:, place.columns] for place in self.places], dim=1)

    def _own(self) -> list[tuple[Place, Tensor]]:
        own = [place for place in self.places if place.holder == self.group.rank]
        return [*zip(own, self.mine, strict=True)]

    def _gathered(self, sent: Tensor) -> Tensor:
        every = sent.new_empty(self.group.size, *sent.shape)
        self.group.all_gather(every.flatten(0, 1), sent).wait()
        return every
