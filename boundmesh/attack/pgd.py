"""The search for a counterexample: restarts of projected gradient descent, cheapest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from boundmesh.attack.replay import Replay
from boundmesh.attack.search import Search
from boundmesh.clock import Clock
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.settings import AttackSettings
from boundmesh.verdict import Counterexample

# The attack may take this share of the time left.
PATIENCE = 0.2
# Small networks get as many restarts as so many multiplications pay for, up to a number.
PAID, MOST = 3 * 10**8, 500
WIDE_PAID, WIDE_MOST = 10**10, 10_000
# The first, short descents.
FEW = 9


def attack(
    graph: Graph,
    weights: Mapping[str, Tensor],
    property: Property,
    settings: AttackSettings,
    clock: Clock,
    seed: int = 0,
    wide: bool = False,
) -> Counterexample | None:
    """A replayed counterexample, or None where the search found none.

    A few short descents come first, then `settings.restarts` of `settings.steps` for every case,
    and more of them where the network is small. A `wide` search, for properties that bounds left
    undecided, starts with far more. The search stops after a fifth of the time that was left;
    raises OutOfTime at the deadline of `clock`.
    """
    if settings.restarts == 0:
        return None
    generator = torch.Generator().manual_seed(2 * seed + wide)
    replay = Replay(graph)
    until = clock.spent + PATIENCE * clock.left
    searches = [
        Search(graph, weights, property, case, replay) for case in range(len(property.cases))
    ]
    for restarts, steps in efforts(graph, settings, len(searches), wide):
        for search in searches:
            for count in batches(restarts, search.batch):
                for found in search.restart(count, steps, generator):
                    if found is not None:
                        return found
                    clock.check()
                    if clock.spent > until:
                        return None
    return None


def efforts(
    graph: Graph, settings: AttackSettings, cases: int, wide: bool
) -> Iterator[tuple[int, int]]:
    """How many restarts of how many steps each case gets, cheapest first."""
    paid, most = (WIDE_PAID, WIDE_MOST) if wide else (PAID, MOST)
    if not wide:
        yield min(settings.restarts, FEW), max(1, settings.steps // 4)
    affordable = paid // (work(graph) * settings.steps * max(1, cases))
    yield max(settings.restarts, min(affordable, most)), settings.steps


def work(graph: Graph) -> int:
    """About how many multiplications a forward pass of one point takes."""
    total = 1
    for node in graph.nodes:
        shape = graph.weights[node.weights[0]].shape if node.weights else ()
        total += node.size * math.prod(shape[1:])
    return total


def batches(count: int, most: int) -> Iterator[int]:
    """`count` in parts of at most `most`."""
    for start in range(0, count, most):
        yield min(most, count - start)
