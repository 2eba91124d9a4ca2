"""Chooses which neurons of a batch of domains are split, and how many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
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

    def scores(self, domains: Domains, bounded: BoundedDomains) -> Tensor:
        """Estimate how much a split of each neuron could gain, `[D, N]`; −inf where impossible."""
        neurons, values = self.bounder.neurons, self.bounder.values
        box = self.bounder.box(domains.parameters)
        loss = heuristic_of(self.settings.branching).scores(neurons, domains, bounded, box)
        if values is None or domains.box is None:
            return loss
        factor = influence(values, domains.box, neurons.count)
        return torch.where(loss > -torch.inf, loss * factor, loss)

    def children(self, parents: Domains, bounded: BoundedDomains, loss: Tensor) -> Domains | None:
        """Split parents, each of which has a neuron to split; return the children.

        While all ranks together have few parents, several levels are split at once. Returns None
        where no rank has a parent.
        """
        levels = self._levels(parents, (loss > -torch.inf).sum(1))
        if not levels:
            return None
        if levels > 1:
            chosen = torch.topk(loss, levels, dim=1).indices
        else:
            chosen = self._chosen(parents, bounded, loss).unsqueeze(1)
        return split(parents, chosen, bounded.coefficients, self.bounder.neurons.concave)

    @torch.no_grad()
    def _chosen(self, parents: Domains, bounded: BoundedDomains, loss: Tensor) -> Tensor:
        candidates = Candidates(
            parents, bounded, loss, self.settings.tries, lambda each: self.quick(each).margin
        )
        return heuristic_of(self.settings.branching).choose(candidates)

    def _levels(self, parents: Domains, able: Tensor) -> int:
        """Return how many neurons all ranks split at once.

        `able` `[D]` is the number of neurons of each parent that can be split. The result is the
        largest number for which the children still fit into a batch, or 0 where no rank has a
        parent.
        """
        working = active(parents)
        mine = int(working.sum())
        fewest = int(able[working].min()) if mine else self.settings.levels
        counts, choices = zip(*self.division.all_gather_objects((mine, fewest)), strict=True)
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
