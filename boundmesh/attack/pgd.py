"""The search for a counterexample: restarts of projected gradient descent, cheapest first."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from boundmesh.attack.effort import LIGHT, WIDE, AttackEffort, AttackPlan
from boundmesh.attack.replay import Replay
from boundmesh.attack.search import Descent
from boundmesh.attack.whole import search_whole
from boundmesh.graph.graph import Graph
from boundmesh.graph.whole import whole_places
from boundmesh.property import Property
from boundmesh.runtime.clock import Clock
from boundmesh.settings import AttackSettings
from boundmesh.verdict import Counterexample

# The attack may take this share of the time that is left.
PATIENCE = 0.2


# Checkers of competitions evaluate conditions in float32. Once a counterexample was found that does
# not hold there, another one is searched for so long.
MORE_SECONDS = 1.0


class Attack:
    """An attack that is run in two parts: short descents first, which are cheap, then all others.

    found  the counterexample, once there is one
    over   true once both parts were run, or a counterexample was found
    """

    def __init__(self, parts: Generator[None, None, Counterexample | None]) -> None:
        self._parts = parts
        self.found: Counterexample | None = None
        self.over = False

    def go_on(self) -> Counterexample | None:
        """Run the next part; return the counterexample, or None where none was found."""
        try:
            next(self._parts)
        except StopIteration as end:
            self.found, self.over = end.value, True
        return self.found


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
    chosen = seed, left, replay, recordable
    whole = Attack(in_parts(graph, weights, property, settings, clock, *chosen))
    while not whole.over:
        whole.go_on()
    return whole.found


def in_parts(
    graph: Graph,
    weights: Mapping[str, Tensor],
    property: Property,
    settings: AttackSettings,
    clock: Clock,
    seed: int = 0,
    left: Mapping[int, Sequence[int]] | None = None,
    replay: Replay | None = None,
    recordable: bool = False,
) -> Generator[None, None, Counterexample | None]:
    """Attack as `attack` does, and yield after the short descents if they found nothing.

    The time limit of the second part begins with it.
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
        if descent is None:
            if clock.agree(kept is None):
                yield
                until = clock.spent + PATIENCE * clock.left
            continue
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
) -> Iterator[Iterator[Counterexample | None] | None]:
    """Yield all descents of the search in order; the caller runs each to its end.

    None stands between the short descents and the others.
    """
    plan = AttackPlan.of(graph, len(searches), settings, effort)
    if effort.few:
        for search in searches:
            few = min(effort.few, settings.restarts, search.batch)
            yield search.restart(few, plan.short, generator)
        yield None
    for search in searches:
        for count in batches(plan.restarts, search.batch):
            yield search.restart(count, plan.steps, generator)
        if search.stuck():
            yield search.flip(settings.steps * effort.turns, generator)
    for _ in range(plan.rounds):
        for search in searches:
            for count in batches(plan.restarts, search.batch):
                yield search.search_nearby(count, plan.nearby, generator)


def batches(count: int, most: int) -> Iterator[int]:
    """Divide `count` into parts of at most `most`."""
    for start in range(0, count, most):
        yield min(most, count - start)
