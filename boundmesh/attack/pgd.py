"""The search for a counterexample: restarts of projected gradient descent, cheapest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.replay import Replay
from boundmesh.attack.search import Descent
from boundmesh.attack.whole import search_whole
from boundmesh.graph.forward import multiplications
from boundmesh.graph.graph import Graph
from boundmesh.graph.whole import whole_places
from boundmesh.property import Property
from boundmesh.runtime.clock import Clock
from boundmesh.settings import AttackSettings
from boundmesh.verdict import Counterexample

# The attack may take this share of the time that is left.
PATIENCE = 0.2


@dataclass(frozen=True)
class AttackEffort:
    """How much work the attack does in each case.

    few     short descents in the beginning
    rounds  after the restarts, how often as many descents start again around the best points
    paid    multiplications to spend on restarts; small networks get more restarts for them
    most    restarts, at most
    cases   a sample of so many cases is searched where there are more
    turns   turns of the search without gradients, where it is needed, for each step of a descent
    """

    few: int
    rounds: int
    paid: int
    most: int
    cases: int
    turns: int


# Cases are bounded thousands at a time, and searched one by one. So few of them are searched before
# bounds show where a counterexample may be.
LIGHT = AttackEffort(few=9, rounds=1, paid=3 * 10**8, most=500, cases=25, turns=4)
WIDE = AttackEffort(few=0, rounds=7, paid=10**10, most=3000, cases=50, turns=32)
# Restarts of all cases together, at most. Steps of small networks take equally long however many
# points descend, so many cases get fewer rounds.
TURNS = 50


# Checkers of competitions evaluate conditions in float32. Once a counterexample was found that does
# not hold there, another one is searched for so long.
MORE_SECONDS = 1.0


def attack(
    graph: Graph,
    weights: Mapping[str, Tensor],
    property: Property,
    settings: AttackSettings,
    clock: Clock,
    seed: int = 0,
    left: Mapping[int, Sequence[int]] | None = None,
    replay: Replay | None = None,
    recordable: bool = False,
) -> Counterexample | None:
    """Search a counterexample; return it once it was replayed, or None where none was found.

    `settings.restarts` descents of `settings.steps` steps start in every case, and more where the
    network is small. `left` maps cases to the clauses that bounds did not decide; if it is given,
    only these are searched, by far more descents. If `recordable`, work with the weights can be
    recorded as a CUDA graph. The search stops after a fifth of the time that
    was left. Raises OutOfTime at the deadline of `clock`.
    """
    if settings.restarts == 0:
        return None
    wide = left is not None
    generator = torch.Generator().manual_seed(2 * seed + wide)
    replay = replay or Replay(graph)
    until = clock.spent + PATIENCE * clock.left
    if left is None:
        left = {
            case: range(len(each.clauses))
            for case, each in enumerate(property.cases)
            if not each.region.empty
        }
    effort = WIDE if wide else LIGHT
    cases = [case for case, clauses in left.items() if clauses]
    searches = []
    for case in cases[:: -(-len(cases) // effort.cases) or 1]:
        clock.check()
        chosen = tuple(left[case])
        searches.append(Descent(graph, weights, property, case, replay, chosen, recordable))
    kept: Counterexample | None = None
    searched_on = False
    changing = (
        search_whole(graph, weights, property, each.case, each.clauses, replay,
                     settings.steps * (8 if wide else 1), generator)
        for each in searches
    )  # fmt: skip
    steps = descents(graph, searches, settings, effort, generator)
    for descent in changing if whole_places(graph.inputs).any() else steps:
        for found in descent:
            kept = kept or found
            if clock.agree(found is not None and found.single):
                return found
            if clock.agree(kept is not None and not searched_on):
                spent = clock.spent
                until, searched_on = min(until, spent + min(MORE_SECONDS, clock.left)), True
            if not searched_on:
                clock.check()
            if clock.spent > until:
                return kept
    return kept


def descents(
    graph: Graph,
    searches: Sequence[Descent],
    settings: AttackSettings,
    effort: AttackEffort,
    generator: torch.Generator,
) -> Iterator[Iterator[Counterexample | None]]:
    """Yield all descents of the search in order; the caller runs each to its end."""
    if effort.few:
        for search in searches:
            short = max(1, settings.steps // 4)
            few = min(effort.few, settings.restarts, search.batch)
            yield search.restart(few, short, generator)
    nearby = max(1, settings.steps * 2 // 5)
    turns = TURNS / max(1, len(searches)) - 1
    rounds = min(effort.rounds, int(turns * settings.steps / nearby))
    steps = settings.steps + rounds * nearby
    affordable = effort.paid // (multiplications(graph) * steps * max(1, len(searches)))
    restarts = max(settings.restarts, min(affordable, effort.most))
    for search in searches:
        for count in batches(restarts, search.batch):
            yield search.restart(count, settings.steps, generator)
        if search.stuck():
            yield search.flip(settings.steps * effort.turns, generator)
    for _ in range(rounds):
        for search in searches:
            for count in batches(restarts, search.batch):
                yield search.search_nearby(count, nearby, generator)


def batches(count: int, most: int) -> Iterator[int]:
    """Divide `count` into parts of at most `most`."""
    for start in range(0, count, most):
        yield min(most, count - start)
