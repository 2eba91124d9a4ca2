"""Searches a counterexample over whole inputs, along which no gradient leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from boundmesh.attack.objective import Objective
from boundmesh.attack.replay import Replay, representable
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.graph.whole import whole_places
from boundmesh.property import Box, Property
from boundmesh.verdict import Counterexample

POINTS = 64
"""So many points are changed side by side."""

ELEMENTS = 2**24
"""So many numbers of a network's values are computed at one time, at most."""


@torch.no_grad()
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
    chosen = property.cases[case]
    if not isinstance(chosen.region, Box) or chosen.region.empty:
        return
    example = next(iter(weights.values()), torch.empty(0))
    whole = torch.from_numpy(whole_places(graph.inputs))
    lower, upper = (torch.from_numpy(end.reshape(-1)) for end in chosen.region.inner)
    size = sum(node.size for node in graph.nodes)
    count = max(1, min(POINTS, ELEMENTS // max(size, 1)))
    objective = Objective(
        [chosen.clauses[place] for place in clauses], example.dtype, example.device
    )

    def points() -> Tensor:
        share = torch.rand(count, len(lower), generator=generator, dtype=torch.float64)
        # Each whole number of a range is as likely as any other.
        found = torch.where(
            whole,
            lower + ((upper - lower + 1) * share).floor(),
            lower + (upper - lower) * share,
        )
        return found.minimum(upper)

    def distance(x: Tensor) -> Tensor:
        given = x.to(example.device, example.dtype)
        y = forward(graph, weights, given.reshape(count, *graph[graph.input].shape))
        worst = objective.worst(objective.excess(given, y))
        return worst.amin(1).cpu() if worst.shape[1] else worst.new_full((count,), torch.inf)

    free = (upper > lower).double()
    if not bool(free.any()):
        count, turns = 1, 1
    x = points()
    best = distance(x)
    for _ in range(turns):
        place = int(best.argmin())
        near = representable(chosen.region, x[place].numpy(), graph.inputs)
        yield replay(property, case, near) if float(best[place]) <= 1e-4 else None
        # Between one and a few inputs change at a time.
        rate = 2.0 ** (-4 * torch.rand(count, 1, generator=generator)) / max(float(free.sum()), 1)
        changed = torch.rand(count, len(lower), generator=generator) < (4 * rate).clamp(max=1)
        tried = torch.where(changed & (free > 0), points(), x)
        after = distance(tried)
        better = after <= best
        x, best = torch.where(better[:, None], tried, x), torch.where(better, after, best)
        # The worst points start anew from the best one.
        worst = best.argsort(descending=True)[: count // 8]
        x[worst], best[worst] = x[best.argmin()].clone(), best.min().clone()
