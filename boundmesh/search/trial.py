"""Tries a small search while slopes are still optimised, where a few splits seem to suffice.

An iteration of α-CROWN bounds every unstable neuron of the network, and a search bounds the output
alone. So once the margin lacks little, some dozen domains cost less than the iterations that are
left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import part_of
from boundmesh.operators.interval import Interval
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.region_search import by_input
from boundmesh.settings import BoundSettings, BranchSettings

MOST_REGIONS = 4
"""A search is tried where at most so many regions are open."""
ROUNDS = 4
"""A trial may bound so many times the domains that one round of splits makes of a clause."""


@dataclass(frozen=True)
class Trials:
    """Searches of open regions that end after some dozen domains.

    bounds    the options of bounds
    settings  the options of branch and bound
    clock     measures the trials, and raises OutOfTime at the deadline
    lacked    how much the worst margin of a case lacked at its last trial; the next one waits until
              it lacks half as much
    """

    bounds: BoundSettings
    settings: BranchSettings
    clock: Clock
    lacked: dict[int, float] = field(default_factory=dict)

    def __call__(self, standing: Standing, domains: Tensor, bounds: Mapping[str, Interval]) -> None:
        """Try a search of the open regions among `domains`; enter in `standing` those refuted.

        `bounds` are the bounds of the start nodes on `domains`. Only for several regions at a time,
        for regions that are split by input and for clauses with choices is none tried.
        """
        still = standing.open[domains].any(1).nonzero().flatten().tolist()
        if len(still) > MOST_REGIONS:
            return
        for place in still:
            region_bounds = {
                name: Interval(box.lower[place : place + 1], box.upper[place : place + 1])
                for name, box in bounds.items()
            }
            self._try(standing, int(domains[place]), region_bounds)

    def _try(self, standing: Standing, domain: int, bounds: dict[str, Interval]) -> None:
        question, clauses = standing.question, standing.open[domain].nonzero().flatten()
        case, margins = question.cases[domain], standing.clauses[domain, clauses]
        lacks = -float(margins.min())
        some = all(question.margins.rows_of(clause) for clause in clauses.tolist())
        if question.margins.factored[clauses].any() or not some:
            return
        if case in self.lacked and not lacks <= self.lacked[case] / 2:
            return
        region = part_of(question.region, torch.tensor([domain]))
        problem = question.problem(region, self.bounds, self.clock)
        if by_input(self.settings, problem, bounds):
            return
        splitting = ActivationSplitting(
            problem,
            bounds,
            question.margins,
            question.offset,
            self.settings,
            self.clock,
            lambda points: None,
        )
        if not splitting.may_close(clauses, margins):
            return
        self.lacked[case] = lacks
        standing.searches.append(splitting.shared.whole)
        with self.clock.stage("branch"):
            most = ROUNDS * len(clauses) << self.settings.levels
            search = splitting.run(clauses, margins, most)
        if search.open or search.stuck:
            standing.searches.pop()
        else:
            standing.close(domain, clauses, search.proved)
