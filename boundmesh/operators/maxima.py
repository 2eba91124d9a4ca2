"""Lines of a maximum of several inputs along one dim."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.interval import Interval


def place_of(values: Tensor, dim: int) -> Tensor:
    """Return a mask that is true at the first largest value along `dim`."""
    shape = [length if d == dim else 1 for d, length in enumerate(values.shape)]
    places = torch.arange(values.shape[dim], device=values.device).reshape(shape)
    return places == values.argmax(dim, keepdim=True)


def others(place: Tensor, values: Tensor, dim: int) -> Tensor:
    """Return the largest value along `dim` outside of the mask `place`, or −∞ if there is none."""
    return torch.where(place, -torch.inf, values).amax(dim, keepdim=True)


def settled(box: Interval, dim: int) -> tuple[Tensor, Tensor]:
    """Return masks of the input with the largest lower bound, and of maxima that it decides.

    A maximum is decided if no other input can exceed that lower bound.
    """
    best = place_of(box.lower, dim)
    return best, box.lower.amax(dim, keepdim=True) >= others(best, box.upper, dim)


def undecided(box: Interval, dim: int) -> Tensor:
    """Return a mask of inputs that may be the largest, where more than one may be."""
    _, decided = settled(box, dim)
    return ~decided & (box.upper > box.lower.amax(dim, keepdim=True))


@dataclass(frozen=True)
class Maximum:
    """Facts about maxima along a dim, from bounds `[D, *]`. The dim is kept with length 1.

    best       a mask of the input with the largest lower bound, the first of several
    decided    a mask of the maxima that this input decides
    slopes     the slopes of the line above, one for each input
    intercept  the intercept of the line above
    broken     zero, or NaN where a bound of the inputs is NaN or infinite
    """

    best: Tensor
    decided: Tensor
    slopes: Tensor
    intercept: Tensor
    broken: Tensor

    @staticmethod
    def of(box: Interval, dim: int) -> Maximum:
        """Compute it from bounds of the inputs.

        The line above is the chord of max(xₖ, m) over [lₖ, uₖ]. Here k is the input with the
        largest upper bound, and m is the largest upper bound of the other inputs. Of a decided
        maximum it is the input `best` itself.
        """
        best, decided = settled(box, dim)
        highest = torch.where(decided, best, place_of(box.upper, dim))
        lower = torch.where(highest, box.lower, 0).sum(dim, keepdim=True)
        upper = torch.where(highest, box.upper, 0).sum(dim, keepdim=True)
        start, width = torch.maximum(lower, others(highest, box.upper, dim)), upper - lower
        chord = torch.where(decided, 1, (upper - start) / torch.where(width == 0, 1, width))
        broken = ((box.lower - box.lower) + (box.upper - box.upper)).sum(dim, keepdim=True)
        intercept = start - chord * lower + broken
        return Maximum(best, decided, torch.where(highest, chord, 0), intercept, broken)
