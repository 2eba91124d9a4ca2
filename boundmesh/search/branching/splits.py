"""Which neurons of a batch of domains are split, and how many of each at once."""

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
    """How domains of a bounder are split in batches of `batch` that the ranks of `division` share.

    `quick` bounds domains by one sweep with the parameters that they carry.
    """

    bounder: DomainBounder
    settings: BranchSettings
    division: Division
    batch: int
    quick: Callable[[Domains], BoundedDomains]

    def scores(self, domains: Domains, bounded: BoundedDomains) -> Tensor:
        """What a split of each neuron could gain, `[D, N]`; −inf where it cannot be split."""
        neurons, values = self.bounder.neurons, self.bounder.values
        box = self.bounder.box(domains.parameters)
        loss = heuristic_of(self.settings.branching).scores(neurons, domains, bounded, box)
        if values is None or domains.box is None:
            return loss
        factor = influence(values, domains.box, neurons.count)
        return torch.where(loss > -torch.inf, loss * factor, loss)

    def children(self, parents: Domains, bounded: BoundedDomains, loss: Tensor) -> Domains | None:
        """The children of parents that can all be split: of more levels at once while there are few
        on all ranks. None where no rank has a parent."""
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
        """How many neurons to split at once, of which a parent has `able` `[D]`, on all ranks: as
        many as fill no rank's part of a batch. 0 where no rank has a parent."""
        working = active(parents)
        mine = int(working.sum())
        fewest = int(able[working].min()) if mine else self.settings.levels
        counts, choices = zip(*self.division.all_say((mine, fewest)), strict=True)
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
