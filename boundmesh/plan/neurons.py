"""Decides how many neurons a plan takes to be unstable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from boundmesh.bounds.sweep.program import Program
from boundmesh.operators.interval import Interval

Count = Callable[[int], int]
"""A function from a number of neurons to how many of them are unstable."""


@dataclass(frozen=True)
class Unstable:
    """The share of each start node's neurons that is unstable.

    share     the share of a start node that is not listed
    interval  the share under the interval, by start node: these neurons get rows
    crown     the share under CROWN's bounds, by start node: these neurons get slopes
    source    where the shares come from, in words
    """

    share: float = 1.0
    interval: Mapping[str, float] = field(default_factory=dict)
    crown: Mapping[str, float] = field(default_factory=dict)
    source: str = "assumed"

    def rows(self, start: str) -> Count:
        """Return how many neurons of a start node get rows in CROWN."""
        return _of(self.interval.get(start, self.share))

    def slopes(self, start: str, *, all_or_none: bool = False) -> Count:
        """Return how many neurons of a start node have slopes, and rows in α-CROWN."""
        share = self.crown.get(start, self.interval.get(start, self.share))
        return _of(float(share > 0) if all_or_none else share)


def _of(share: float) -> Count:
    return lambda neurons: min(neurons, round(share * neurons))


@dataclass(frozen=True)
class CountedProgram(Program):
    """A program that announces the neurons of which start node are counted next.

    announce  a function that gets the name of the start node, and true if its neurons are counted
              for the first time: under their interval
    """

    announce: Callable[[str, bool], None] = lambda start, first: None
    _seen: set[str] = field(default_factory=set)

    def unstable(self, start: str, boxes: Mapping[str, Interval]) -> Tensor:
        self.announce(start, start not in self._seen)
        self._seen.add(start)
        return super().unstable(start, boxes)
