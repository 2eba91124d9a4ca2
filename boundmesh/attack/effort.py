"""Estimates how much work an attack does, and what it will cost."""

from __future__ import annotations

from dataclasses import dataclass

from boundmesh.graph.forward import multiplications
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.settings import AttackSettings


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


@dataclass(frozen=True)
class AttackPlan:
    """The descents of each case.

    cases     how many cases are searched
    short     the steps of a short descent; short ones come first
    restarts  the descents from new starts, of `steps` steps each
    rounds    how often as many descents start again near the best points, of `nearby` steps each
    """

    cases: int
    short: int
    restarts: int
    steps: int
    rounds: int
    nearby: int

    @staticmethod
    def of(graph: Graph, cases: int, settings: AttackSettings, effort: AttackEffort) -> AttackPlan:
        nearby = max(1, settings.steps * 2 // 5)
        turns = TURNS / max(1, cases) - 1
        rounds = min(effort.rounds, int(turns * settings.steps / nearby))
        steps = settings.steps + rounds * nearby
        affordable = effort.paid // (multiplications(graph) * steps * max(1, cases))
        restarts = max(settings.restarts, min(affordable, effort.most))
        return AttackPlan(
            cases, max(1, settings.steps // 4), restarts, settings.steps, rounds, nearby
        )

    @property
    def longer(self) -> float:
        """How many times the steps of a short descent the steps after it are."""
        return (self.steps + self.rounds * self.nearby) / self.short

    @property
    def passes(self) -> int:
        """How many passes forward and backward the descents after the short ones take."""
        return self.cases * self.restarts * (self.steps + self.rounds * self.nearby)


def light_plan(graph: Graph, property: Property, settings: AttackSettings) -> AttackPlan:
    """Return the plan of the attack that comes before bounds."""
    cases = sum(not case.region.empty for case in property.cases)
    return AttackPlan.of(graph, min(cases, LIGHT.cases), settings, LIGHT)
