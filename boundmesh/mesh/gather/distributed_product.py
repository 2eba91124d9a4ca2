"""Products of rows that all ranks hold with a weight whose parts lie on different ranks.

A few rows are far smaller than a weight, so the weight stays and results move. For rows
`A [R, out]` and a weight `W [out, in]`, whose part p has the outputs [low, high):

    rows        The rank of p computes A[:, low:high] W[p] → [R, in]. An all-gather follows, and
                every rank adds the results in the order of the parts.
    gradients   The rank of p computes G W[p]ᵀ → [R, high − low]. An all-gather follows, and every
                rank concatenates the results.

The products and sums are those of one device. The bits are the same, too, if a product has the same
bits whether it is added to a sum at once or later. This is true of the kernel of `matmul.py`.
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
    """Where a part of a weight lies.

    low, high  the part has the outputs `low ≤ i < high`
    holder     the rank that holds the part
    number     how many parts of this weight precede it on that rank
    before     how many outputs these preceding parts have
    """

    low: int
    high: int
    holder: int
    number: int
    before: int

    @property
    def columns(self) -> slice:
        """The places of its outputs among all outputs of this weight that its rank holds."""
        return slice(self.before, self.before + self.high - self.low)


def part_places(spans: Sequence[tuple[int, int]], holders: Sequence[int]) -> list[Place]:
    """Compute the places of parts from their outputs and the ranks that hold them."""
    numbers: Counter[int] = Counter()
    outputs: Counter[int] = Counter()
    places = []
    for (low, high), holder in zip(spans, holders, strict=True):
        places.append(Place(low, high, holder, numbers[holder], outputs[holder]))
        numbers[holder] += 1
        outputs[holder] += high - low
    return places


@dataclass(frozen=True)
class DistributedProduct:
    """A linear weight `[out, in]` whose parts lie on the ranks of `group`.

    group      the ranks; all of them must multiply together
    inputs     the number of inputs
    places     where each part lies, in the order of the outputs
    own_parts  the parts that lie on this rank, in the same order
    """

    group: Group
    inputs: int
    places: Sequence[Place]
    own_parts: Sequence[Tensor]

    def times(self, rows: Tensor) -> Tensor:
        """Compute `A W`, `[R, out]` → `[R, in]`."""
        rounds = max(place.number for place in self.places) + 1
        sent = rows.new_empty(rounds, len(rows), self.inputs)
        for place, weight in self._own_parts():
            mm(rows[:, place.low : place.high], weight, sent[place.number])
        results = self._gathered(sent)
        total, *others = (results[place.holder, place.number] for place in self.places)
        for product in others:
            total = total + product
        return total

    def transposed(self, gradients: Tensor) -> Tensor:
        """Compute `G Wᵀ`, `[R, in]` → `[R, out]`."""
        widest = max(place.columns.stop for place in self.places)
        sent = gradients.new_empty(len(gradients), widest)
        for place, weight in self._own_parts():
            mm(gradients, weight.mT, sent[:, place.columns])
        results = self._gathered(sent)
        return torch.cat([results[place.holder][:, place.columns] for place in self.places], dim=1)

    def _own_parts(self) -> list[tuple[Place, Tensor]]:
        own_places = [place for place in self.places if place.holder == self.group.rank]
        return [*zip(own_places, self.own_parts, strict=True)]

    def _gathered(self, sent: Tensor) -> Tensor:
        gathered = sent.new_empty(self.group.size, *sent.shape)
        self.group.all_gather(gathered.flatten(0, 1), sent).wait()
        return gathered
