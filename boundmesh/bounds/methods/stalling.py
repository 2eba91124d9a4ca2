"""Detects that a climb of α-CROWN no longer moves its bounds, so that more iterations are a waste.

A climb has the best bound of each row so far, and the row's bound under the present slopes. The
best one starts at CROWN's or the interval's, whichever is tighter, so the present one may have to
catch up with it first, and may fall before it rises. A climb is therefore given up after one
iteration that left the present bounds where they were, but only after several that moved them
without a gain.
"""

from __future__ import annotations

import torch
from torch import Tensor

FALLING, GAINLESS = 3, 5
"""So many iterations in a row that neither gain nor rise end a climb, or so many without a gain."""

ROUNDINGS = 64
"""A bound that moves by fewer units in its last place than these has only been rounded anew."""


class Stalling:
    """Judges after every iteration of a climb whether it has stalled.

    best     `[D, S]`: the bounds at the start
    present  `[D, S]`: the rows' bounds under the slopes at the start
    steps    how many iterations the climb has at most
    """

    def __init__(self, best: Tensor, present: Tensor, steps: int) -> None:
        self._best, self._present, self._left = best.clone(), present.clone(), steps
        self._gainless = self._falling = 0

    def after(self, best: Tensor, present: Tensor, weight: Tensor) -> bool:
        """Return True if the climb has stalled after an iteration that reached these bounds.

        `weight` `[D, S]` is 0 for rows that do not matter. A row rises only if it would overtake
        its best bound at this pace in the iterations that are left.
        """
        if best.is_meta:  # A plan runs on shapes, without values.
            return False
        self._left -= 1
        matters, rise = weight > 0, present - self._present
        noise = ROUNDINGS * torch.finfo(best.dtype).eps * present.abs()
        gained = (best > self._best) & matters
        # An infinite or NaN bound has moved only if it was another one before.
        still = (rise.abs() <= noise) | (present == self._present) | present.isnan()
        rising = (rise > noise) & (best - present < rise * self._left)
        flags = torch.stack([mask.any() for mask in (gained, ~still & matters, rising & matters)])
        gains, moves, rises = flags.tolist()
        self._best, self._present = best.clone(), present.clone()
        self._gainless = 0 if gains else self._gainless + 1
        self._falling = 0 if gains or rises else self._falling + 1
        return not gains and (not moves or self._falling >= FALLING or self._gainless >= GAINLESS)
