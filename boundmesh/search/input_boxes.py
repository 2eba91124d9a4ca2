"""Boxes of the input: the domains of input splitting, and how they are halved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion, part_of
from boundmesh.search.batches import Arrays


@dataclass(frozen=True)
class InputBoxes(Arrays):
    """D boxes `lower ≤ x ≤ upper`.

    margin  `[D]`: the margin of the larger box that each was cut from
    lower   `[D, *input_shape]`
    upper   `[D, *input_shape]`
    """

    lower: Tensor
    upper: Tensor

    @property
    def region(self) -> BoxRegion:
        return BoxRegion(self.lower, self.upper)


@dataclass(frozen=True)
class BoundedBoxes:
    """D boxes with linear and constant lower bounds of each row, minus the row's offset.

    On its box a row is at least `⟨rows, x⟩ + constants`, which is at least `rowwise`.

    region     the D boxes
    rows       `[D, S, *input_shape]`: the coefficients at the input
    constants  `[D, S]`, float64
    rowwise    `[D, S]`, float64
    clauses    `[D, clauses]`: the margin of each clause
    lost       `[D, S]`: the allowance for rounding that `rowwise` was lowered by
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
        """Return the boxes at the indices `which`."""
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
    """Return the mask `[D, inputs]` of inputs with a float strictly between their ends."""
    middle = (region.lower + region.upper) / 2
    return ((middle > region.lower) & (middle < region.upper)).flatten(1)


def whole_ends(region: BoxRegion, whole: Tensor) -> BoxRegion:
    """Round the ends inward to whole numbers along the inputs of the mask `whole` `[inputs]`.

    A range without a whole number becomes one whose lower end is the greater.
    """
    mask = whole.reshape(region.lower.shape[1:])
    return BoxRegion(
        torch.where(mask, region.lower.ceil(), region.lower),
        torch.where(mask, region.upper.floor(), region.upper),
    )


def halve(region: BoxRegion, inputs: Tensor, whole: Tensor | None = None) -> BoxRegion:
    """Halve each box along its flat input in `inputs` `[D]`; return 2D boxes.

    The lower halves come first. The two halves cover the box; along an input of the mask `whole`
    `[inputs]` they cover its whole numbers.
    """
    shape = region.lower.shape[1:]
    lower, upper, place = region.lower.flatten(1), region.upper.flatten(1), inputs[:, None]
    middle = (lower.gather(1, place) + upper.gather(1, place)) / 2
    below, above = middle, middle
    if whole is not None:
        step = middle.floor() + 1
        # Beyond 2²⁴ the next whole number may be none of the type.
        step = torch.where(step - middle.floor() == 1, step, middle.floor())
        chosen, start, end = whole[place], lower.gather(1, place), upper.gather(1, place)
        below = torch.where(chosen, torch.maximum(middle.floor(), start), middle)
        above = torch.where(chosen, torch.minimum(step, end), middle)
    lowers = torch.cat([lower, lower.scatter(1, place, above)])
    uppers = torch.cat([upper.scatter(1, place, below), upper])
    return BoxRegion(lowers.reshape(-1, *shape), uppers.reshape(-1, *shape))
