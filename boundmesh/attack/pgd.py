"""The search for a counterexample: restarts of projected gradient descent, cheapest first."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass
class Attack:
    """A search for a counterexample in two parts: short descents first, which are cheap, then more.

    `settings.restarts` descents of `settings.steps` steps start in every case, and more where the
    network is small. Each part stops after a fifth of the time that was left when it began. Nothing
    is searched before the first part is run. Raises OutOfTime at the deadline of `clock`.

    seed        of random numbers
    left        the clauses that bounds did not decide, by case; if it is given, only these are
                searched, by far more descents
    recordable  True if work with the weights can be recorded as a CUDA graph
    found       the counterexample, once there is one that was replayed
    over        True once both parts were run, or a counterexample was found
    """

    graph: Graph
    weights: Mapping[str, Tensor]
    property: Property
    settings: AttackSettings
    clock: Clock
    seed: int = 0
    left: Mapping[int, Sequence[int]] | None = None
    replay: Replay | None = None
    recordable: bool = False
    found: Counterexample | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._parts = self._run()

    def go_on(self) -> Counterexample | None:
        """Run the next part; return the counterexample, or None where none was found."""
        try:
            next(self._parts)
        except StopIteration as end:
            self.found, self.over = end.value, True
        return self.found

    def finish(self) -> Counterexample | None:
        """Run all parts that are left; return the counterexample, or None where none was found."""
        while not self.over:
            self.go_on()
        return self.found

    def _run(self) -> Generator[None, None, Counterexample | None]:
        """Search, and yield after the short descents if they found nothing."""
        settings, clock = self.settings, self.clock
        if settings.restarts == 0:
            return None
        wide = self.left is not None
        effort = WIDE if wide else LIGHT
        generator = torch.Generator().manual_seed(2 * self.seed + wide)
        until = clock.spent + PATIENCE * clock.left
        searches = self._searches(effort)
        changing = (
            search_whole(
                self.graph, self.weights, self.property, each.case, each.clauses, each.replay,
                settings.steps * (8 if wide else 1), generator,
            )
            for each in searches
        )  # fmt: skip
        steps = descents(self.graph, searches, settings, effort, generator)
        kept: Counterexample | None = None
        searched_on = False
        for descent in changing if whole_places(self.graph.inputs).any() else steps:
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

    def _searches(self, effort: AttackEffort) -> list[Descent]:
        """Return the search of each case, or of a sample of the cases."""
        left, replay = self.left, self.replay or Replay(self.graph)
        if left is None:
            left = {
                case: range(len(each.clauses))
                for case, each in enumerate(self.property.cases)
                if not each.region.empty
            }
        cases = [case for case, clauses in left.items() if clauses]
        searches = []
        for case in cases[:: -(-len(cases) // effort.cases) or 1]:
            self.clock.check()
            given = self.graph, self.weights, self.property, case, replay
            searches.append(Descent(*given, tuple(left[case]), self.recordable))
        return searches


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
