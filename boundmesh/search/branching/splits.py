"""Chooses which neurons of a batch of domains are split, and how many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.search.branching.cut_gains import CutGains, cut_gains
from boundmesh.search.branching.heuristic import Candidates
from boundmesh.search.branching.influence import influence
from boundmesh.search.branching.table import heuristic_of
from boundmesh.search.domain import Domains, split
from boundmesh.search.parallel.division import Division, active
from boundmesh.settings import BranchSettings


@dataclass(frozen=True)
class Splits:
    """The way in which batches of domains are split.

    bounder   bounds the domains
    settings  the options of branch and bound
    division  divides a batch among the ranks of a group
    batch     the number of domains in a batch, of all ranks of the group
    quick     bounds domains by one sweep with their own parameters
    """

    bounder: DomainBounder
    settings: BranchSettings
    division: Division
    batch: int
    quick: Callable[[Domains], BoundedDomains]

    def scores(self, domains: Domains, bounded: BoundedDomains) -> CutGains:
        """Estimate the gain of a split of each neuron, then of a cut of each value, `[D, N + C]`.

        It is −inf where it is impossible. The points are those of the cuts.
        """
        loss = self._of_neurons(domains, bounded)
        cuts = cut_gains(self.bounder, domains, bounded)
        if cuts is None:
            return CutGains(loss, loss[:, :0])
        return CutGains(torch.cat([loss, cuts.score.to(loss)], dim=1), cuts.point)

    def _of_neurons(self, domains: Domains, bounded: BoundedDomains) -> Tensor:
        neurons, values = self.bounder.neurons, self.bounder.values
        box = self.bounder.box(domains.parameters)
        loss = heuristic_of(self.settings.branching).scores(neurons, domains, bounded, box)
        if values is None or domains.box is None:
            return loss
        factor = influence(values, domains.box, neurons.count)
        return torch.where(loss > -torch.inf, loss * factor, loss)

    def children(
        self, parents: Domains, bounded: BoundedDomains, gains: CutGains
    ) -> Domains | None:
        """Return the children of parents, each of which has a neuron to split or a value to cut.

        While all ranks together have few parents, several levels are split at once. Returns None
        where no rank has a parent.
        """
        loss, points = gains.score, gains.point if gains.point.shape[1] else None
        levels = self._levels(parents, (loss > -torch.inf).sum(1))
        if not levels:
            return None
        if levels > 1:
            chosen = torch.topk(loss, levels, dim=1).indices
        else:
            chosen = self._chosen(parents, bounded, loss, points).unsqueeze(1)
        concave = self.bounder.neurons.concave
        return split(parents, chosen, bounded.coefficients, concave, points)

    @torch.no_grad()
    def _chosen(
        self, parents: Domains, bounded: BoundedDomains, loss: Tensor, points: Tensor | None
    ) -> Tensor:
        candidates = Candidates(
            parents,
            bounded,
            loss,
            self.settings.tries,
            lambda domains: self.quick(domains).margin,
            points,
        )
        return heuristic_of(self.settings.branching).choose(candidates)

    def _levels(self, parents: Domains, split_counts: Tensor) -> int:
        """Return how many neurons all ranks split at once.

        `split_counts` `[D]` has the number of neurons of each parent that can be split. The result
        is the largest number for which the children still fit into a batch, or 0 where no rank has
        a parent.
        """
        working = active(parents)
        own_count = int(working.sum())
        fewest = int(split_counts[working].min()) if own_count else self.settings.levels
        counts, choices = zip(*self.division.all_gather_objects((own_count, fewest)), strict=True)
        if not any(counts):
            return 0
        levels, most = 1, max(counts) * self.division.ranks
        while (
            most << (levels + 1) <= self.batch
            and levels < self.settings.levels
            and min(choices) > levels
        ):
            levels += 1
        return levels
