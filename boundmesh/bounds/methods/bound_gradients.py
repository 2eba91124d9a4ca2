"""Gradients to the bounds of start nodes, added over all tiles whose rows depend on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from boundmesh.bounds.sweep.rows import of_both_sides
from boundmesh.operators.interval import Interval


class Gradients:
    """Gradients of the objective to the bounds (l, u) of the start nodes, `[D, size]` each."""

    def __init__(self, bounds: Mapping[str, Interval]) -> None:
        self._bounds = bounds
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, names: list[str], parts: Sequence[Tensor]) -> None:
        """Add the gradients of all tiles.

        Each part is `[D, Σ]` and concatenates, for each name, the gradients to l and those to u.
        """
        sizes = [self._bounds[n].lower[0].numel() for n in names for _ in range(2)]
        # This is one sum of the same shape for any number of ranks, so its bits are the same.
        ends = torch.stack([*parts]).sum(0).split(sizes, dim=1)
        for place, name in enumerate(names):
            lower, upper = ends[2 * place], ends[2 * place + 1]
            if name in self._sums:
                before = self._sums[name]
                lower, upper = before[0] + lower, before[1] + upper
            self._sums[name] = (lower, upper)

    def of_rows(self, name: str, index: Tensor) -> Tensor | None:
        """Return the weights of the rows of a start node, `[D, 2n]`, or None without gradients.

        They are ∂l for lower bounds and −∂u for upper bounds, as u is minus a negated row's bound.
        """
        if name not in self._sums:
            return None
        lower, upper = self._sums[name]
        return of_both_sides(lower[:, index], upper[:, index])
