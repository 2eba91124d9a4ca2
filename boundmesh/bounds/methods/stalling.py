"""When a climb of α-CROWN no longer moves its bounds, so that further iterations are a waste."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Beyond = Callable[[Tensor], Tensor]
"""A function from lower bounds `[D, S]` to how far each exceeds what it must exceed."""

WINDOW = 2
"""How many iterations in a row must gain little before a climb ends."""
LITTLE = 0.01
"""The share of all gains so far that counts as little."""


class Stalling:
    """The gains of a climb's iterations.

    A climb has stalled if the last iterations gained little for rows that still count, and if no
    such row would get beyond its goal in the iterations that are left, were each of them to gain as
    much as the best of the last ones. Gains of a climb shrink, so this is a generous forecast.
    Without goals, a climb has stalled if the last iterations gained nothing.
    """

    def __init__(self, lower: Tensor, iterations: int, beyond: Beyond | None) -> None:
        self._known, self._left, self._beyond = lower.clone(), iterations, beyond
        self._total = 0.0
        self._recent: list[Tensor] = []

    def after(self, lower: Tensor, weight: Tensor) -> bool:
        """Return True if the climb has stalled after an iteration that reached `lower` `[D, S]`.

        `weight` `[D, S]` is 0 for rows that do not count.
        """
        if lower.is_meta:  # A plan runs on shapes, without values.
            return False
        gain = torch.where(weight > 0, lower - self._known, 0).nan_to_num(0.0, posinf=torch.inf)
        self._known, self._left = lower.clone(), self._left - 1
        self._recent = [*self._recent[1 - WINDOW :], gain]
        sums = [float(each.sum()) for each in self._recent]
        # The first finite bound of a row is no measure of what is to come.
        self._total += sums[-1] if sums[-1] < torch.inf else 0.0
        if len(sums) < WINDOW or sums[-1] == torch.inf:
            return False
        if self._beyond is None:
            return max(sums) <= 0
        if max(sums) > LITTLE * self._total:
            return False
        best = torch.stack(self._recent).amax(0)
        reached = self._beyond(lower + self._left * best)
        return not bool((reached[(weight > 0).to(reached.device)] > 0).any())
