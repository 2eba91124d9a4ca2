"""Elementwise bounds of a value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """Elementwise bounds `lower ≤ value ≤ upper`, each of shape `[D, *shape]`."""

    lower: Tensor
    upper: Tensor

    def __repr__(self) -> str:
        ends = f"from {float(self.lower.min()):.6g} to {float(self.upper.max()):.6g}"
        shown = f", {ends}" if self.lower.numel() and self.upper.numel() else ""
        return f"Interval({list(self.lower.shape)}{shown})"

    def to(self, device: torch.device) -> Interval:
        """Return the interval with both ends on `device`."""
        return Interval(self.lower.to(device), self.upper.to(device))

    def take(self, which: Tensor | slice) -> Interval:
        """Return the bounds of the domains that `which` selects."""
        return Interval(self.lower[which], self.upper[which])

    def intersect(self, other: Interval) -> Interval:
        """Return the bounds that follow from both intervals. NaN of one of them stays NaN."""
        lower = torch.maximum(self.lower, other.lower)
        return Interval(lower, torch.minimum(self.upper, other.upper))
