"""Searches a counterexample over whole inputs, along which no gradient leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.changing import search_by_changes
from boundmesh.attack.replay import Replay
from boundmesh.graph.graph import Graph
from boundmesh.graph.whole import whole_places
from boundmesh.property import Box, Property
from boundmesh.verdict import Counterexample


@dataclass(frozen=True)
class NumbersAnew:
    """Draws some inputs anew; whole ones, where `whole` `[inputs]` is true, stay whole.

    lower, upper  `[inputs]`, the ends of the ranges
    """

    lower: Tensor
    upper: Tensor
    whole: Tensor

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        share = torch.rand(count, len(self.lower), generator=generator, dtype=torch.float64)
        # Each whole number of a range is as likely as any other.
        found = torch.where(
            self.whole,
            self.lower + ((self.upper - self.lower + 1) * share).floor(),
            self.lower + (self.upper - self.lower) * share,
        )
        return found.minimum(self.upper)

    def changed(self, x: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """Change between one and a few inputs of each point."""
        count, free = len(x), self.upper > self.lower
        rate = 2.0 ** (-4 * torch.rand(count, 1, generator=generator)) / max(int(free.sum()), 1)
        chosen = torch.rand(count, len(free), generator=generator) < (4 * rate).clamp(max=1)
        return torch.where(chosen & free, self.starts(count, generator), x)


def search_whole(
    graph: Graph,
    weights: Mapping[str, Tensor],
    property: Property,
    case: int,
    clauses: Sequence[int],
    replay: Replay,
    turns: int,
    generator: torch.Generator,
) -> Iterator[Counterexample | None]:
    """Change a few inputs at random and keep what comes nearer to a clause, turn by turn.

    Yields the counterexample, or None, after every turn. Whole inputs stay whole.
    """
    region = property.cases[case].region
    if not isinstance(region, Box) or region.empty:
        return
    lower, upper = (torch.from_numpy(end.reshape(-1)) for end in region.inner)
    whole = torch.from_numpy(whole_places(graph.inputs))
    # One point is all that a region of one point has.
    turns = turns if bool((upper > lower).any()) else 1
    yield from search_by_changes(
        graph, weights, property, case, clauses, replay, turns, generator,
        NumbersAnew(lower, upper, whole),
    )  # fmt: skip
