"""When a climb of α-CROWN no longer moves its bounds, so that further iterations are a waste."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW = 2
"""How many iterations in a row must gain nothing before a climb ends."""


class Stalling:
    """Counts the iterations in which no row that matters gained anything.

    Such a climb is as tight as CROWN, or as its own earlier iterations, and would only take longer.
    """

    def __init__(self, lower: Tensor) -> None:
        self._known, self._idle = lower.clone(), 0

    def after(self, lower: Tensor, weight: Tensor) -> bool:
        """Return True if the climb has stalled after an iteration that reached `lower` `[D, S]`.

        `weight` `[D, S]` is 0 for rows that do not matter.
        """
        if lower.is_meta:  # A plan runs on shapes, without values.
            return False
        gained = bool(((lower > self._known) & (weight > 0)).any())
        self._known, self._idle = torch.clone(lower), 0 if gained else self._idle + 1
        return self._idle >= WINDOW
