"""Boxes of the input: the domains of input splitting, and how they are halved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion, part_of
from boundmesh.search.batches import Arrays


@dataclass(frozen=True)
class InputBoxes(Arrays):
    """D boxes `lower ≤ x ≤ upper`, `[D, *input_shape]`, with the margin of the box that each is a
    part of."""

    lower: Tensor
    upper: Tensor

    @property
    def region(self) -> BoxRegion:
        return BoxRegion(self.lower, self.upper)


@dataclass(frozen=True)
class BoundedBoxes:
    """Boxes and what was found on each: rows are at least `⟨rows, x⟩ + constants`, which is at
    least `rowwise`; rows `[D, S, *input_shape]`, the others `[D, S]` float64, less offset.

    `clauses` `[D, clauses]` are the margins, and `lost` `[D, S]` is what was taken off `rowwise`
    for rounding.
    """

    region: BoxRegion
    rows: Tensor
    constants: Tensor
    rowwise: Tensor
    clauses: Tensor
    lost: Tensor

    @property
    def margin(self) -> Tensor:
        return self.clauses.amin(1)

    def take(self, which: Tensor) -> BoundedBoxes:
        """The boxes at the indices `which`."""
        region = part_of(self.region, which)
        assert isinstance(region, BoxRegion)
        return BoundedBoxes(
            region,
            self.rows[which],
            self.constants[which],
            self.rowwise[which],
            self.clauses[which],
            self.lost[which],
        )


def apart(region: BoxRegion) -> Tensor:
    """The inputs whose ends have a number between them, `[D, inputs]`."""
    middle = (region.lower + region.upper) / 2
    return ((middle > region.lower) & (middle < region.upper)).flatten(1)


def halve(region: BoxRegion, inputs: Tensor) -> BoxRegion:
    """Both halves of each box along its input of `inputs` `[D]` (flat), first all lower ones: they
    cover the box."""
    shape = region.lower.shape[1:]
    lower, upper, place = region.lower.flatten(1), region.upper.flatten(1), inputs[:, None]
    middle = (lower.gather(1, place) + upper.gather(1, place)) / 2
    lowers = torch.cat([lower, lower.scatter(1, place, middle)])
    uppers = torch.cat([upper.scatter(1, place, middle), upper])
    return BoxRegion(lowers.reshape(-1, *shape), uppers.reshape(-1, *shape))
