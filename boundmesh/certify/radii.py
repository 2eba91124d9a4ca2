"""The radii of each input: which is certified, which is refuted, and which is tried next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The next radius is at least this share of the range away from both of its ends.
INNER = 0.15


@dataclass
class Radii:
    """The largest certified and the smallest refuted radius of each input.

    certified  0 in the beginning
    falsified  infinite in the beginning
    above      the worst margin at the certified radius; at 0 it is the margin of the scores
    """

    certified: list[float]
    falsified: list[float]
    above: list[float] = field(default_factory=list)

    @staticmethod
    def of(count: int) -> Radii:
        """Return the radii of so many inputs before anything is known of them."""
        return Radii([0.0] * count, [math.inf] * count, [math.inf] * count)


@dataclass(frozen=True)
class RadiusRanges:
    """The ranges in which the largest certified radii lie: from certified to refuted ones.

    radii      the largest certified and the smallest refuted radius of each input
    most       the largest radius that is tried
    tolerance  a range that is no wider than this is narrow enough
    """

    radii: Radii
    most: float
    tolerance: float

    def top(self, index: int) -> float:
        """Return the upper end of an input's range: the refuted radius, or the largest of all."""
        return min(self.radii.falsified[index], self.most)

    def width(self, index: int) -> float:
        """Return the length of an input's range, which is 0 if it is certified to its end."""
        return self.top(index) - self.radii.certified[index]

    def wide(self, indices: Sequence[int]) -> list[int]:
        """Return the inputs whose range is wider than the tolerance."""
        return [index for index in indices if self.width(index) > self.tolerance]

    def worth_bounding(
        self, indices: Sequence[int], failed: Mapping[int, tuple[float, float]]
    ) -> list[int]:
        """Return the inputs whose certified radius a method may still enlarge.

        `failed` are the radii at which the method has failed, and the worst margins there.
        """
        worth = []
        for index in indices:
            end = min(self.top(index), failed.get(index, (math.inf, 0.0))[0])
            if end - self.radii.certified[index] > self.tolerance:
                worth.append(index)
        return worth

    def worth_attacking(self, indices: Sequence[int], missed: Mapping[int, float]) -> list[int]:
        """Return the inputs whose refuted radius an attack may still reduce.

        `missed` are the radii that were attacked in vain.
        """
        return [
            index for index in indices if self.top(index) - missed.get(index, 0.0) > self.tolerance
        ]

    def next(self, index: int, failed: tuple[float, float] | None) -> float:
        """Return the next radius to try: first the largest of all, then one inside the range."""
        low, top = self.radii.certified[index], self.top(index)
        if failed is None:
            untried = self.radii.falsified[index] > self.most
            return top if untried else (low + top) / 2
        end, below = failed
        above = self.radii.above[index]
        share = above / (above - below) if math.isfinite(below) and above > 0 else 0.5
        share = min(max(share, INNER), 1 - INNER)
        return low + share * (min(end, top) - low) if end <= top else (low + top) / 2

    def to_attack(self, index: int, missed: Mapping[int, float]) -> float:
        """Return the radius to attack: first the largest, then the middle of the open range.

        The range begins at the largest radius that was certified, or attacked in vain, and ends at
        the smallest with a counterexample.
        """
        top = self.top(index)
        if self.radii.falsified[index] > self.most and index not in missed:
            return self.most
        return (max(missed.get(index, 0.0), self.radii.certified[index]) + top) / 2
