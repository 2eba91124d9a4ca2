"""Searches without gradients: changes points at random and keeps what comes nearer to a clause.

`Changes` says how points change: `whole.py` draws whole numbers anew, and `flips.py` moves patches
of inputs to the ends of their ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from boundmesh.attack.objective import Objective
from boundmesh.attack.replay import Replay, representable
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.verdict import Counterexample

POINTS = 64
"""So many points are changed side by side."""

ELEMENTS = 2**24
"""So many numbers of a network's values are computed at one time, at most."""


class Changes(Protocol):
    """How points of a region begin and change; points are flat, `[N, inputs]`."""

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw points to begin with."""
        ...

    def changed(self, x: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """Return a changed copy of points, after a share in [0, 1] of all turns."""
        ...


def side_by_side(graph: Graph) -> int:
    """Return how many points of a network are changed at one time."""
    size = sum(node.size for node in graph.nodes)
    return max(1, min(POINTS, ELEMENTS // max(size, 1)))


@torch.no_grad()
def search_by_changes(
    graph: Graph,
    weights: Mapping[str, Tensor],
    property: Property,
    case: int,
    clauses: Sequence[int],
    replay: Replay,
    turns: int,
    generator: torch.Generator,
    changes: Changes,
) -> Iterator[Counterexample | None]:
    """Change points turn by turn; keep what comes nearer to a clause.

    Yields the counterexample, or None, after every turn.
    """
    chosen = property.cases[case]
    example = next(iter(weights.values()), torch.empty(0))
    count = side_by_side(graph)
    objective = Objective(
        [chosen.clauses[place] for place in clauses], example.dtype, example.device
    )

    def distance(x: Tensor) -> Tensor:
        given = x.to(example.device, example.dtype)
        y = forward(graph, weights, given.reshape(len(x), *graph[graph.input].shape))
        worst = objective.worst(objective.excess(given, y))
        return worst.amin(1).cpu() if worst.shape[1] else worst.new_full((len(x),), torch.inf)

    x = changes.starts(count, generator)
    best = distance(x)
    tried_before = torch.full((x.shape[1],), torch.nan, dtype=x.dtype)
    for turn in range(turns):
        place = int(best.argmin())
        near = float(best[place]) <= 1e-4 and not torch.equal(x[place], tried_before)
        if near:
            tried_before = x[place].clone()
            point = representable(chosen.region, x[place].numpy(), graph.inputs)
            yield replay(property, case, point)
        else:
            yield None
        tried = changes.changed(x, turn / turns, generator)
        after = distance(tried)
        better = after <= best
        x, best = torch.where(better[:, None], tried, x), torch.where(better, after, best)
        # The worst points start anew from the best one.
        worst = best.argsort(descending=True)[: count // 8]
        x[worst], best[worst] = x[best.argmin()].clone(), best.min().clone()
