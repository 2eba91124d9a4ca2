"""A round divided: each rank of a group bounds its share of the domains, then all know what of all.

The ranks of a group hold one frontier in step and take the same batch off it. Of P ranks, rank r
bounds every P-th domain from the r-th on; what comes of it is joined, in the order of ranks, so
that all of them go on alike. A group of one rank bounds all and joins nothing.

Ranks bring weights together, so each must sweep as often as the others. One that has nothing left
to bound goes on with an idle domain: a copy whose margin is infinite, so that nothing that comes of
it is ever open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

import torch
from torch import Tensor

from boundmesh.proof.account import SearchAccount
from boundmesh.search.batches import Arrays, Kind, join
from boundmesh.search.parallel.groups import Groups
from boundmesh.search.searcher import Searcher


@dataclass(frozen=True)
class Corners(Arrays):
    """Inputs `[K, *input_shape]` where bounds are attained, with these margins `[K]`."""

    points: Tensor


@dataclass
class Outcome(Generic[Kind]):
    """What came of a round, or of one rank's share: the account, the domains that are open, those
    of them with nothing left to split, and the corners of the worst."""

    account: SearchAccount = field(default_factory=SearchAccount)
    open: list[Kind] = field(default_factory=list)
    leaves: list[Kind] = field(default_factory=list)
    corners: list[Corners] = field(default_factory=list)


class Division:
    """How the ranks of a group divide a round."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    @property
    def ranks(self) -> int:
        return self._groups.ranks

    def share(self, batch: Kind) -> Kind:
        """This rank's share of a batch; the last one is idle where it has one too few."""
        if self.ranks == 1:
            return batch
        mine = self._groups.place + self.ranks * torch.arange(-(-len(batch) // self.ranks))
        chosen = batch.take(mine.clamp(max=len(batch) - 1))
        beyond = (mine >= len(batch)).to(chosen.margin.device)
        return replace(chosen, margin=chosen.margin.masked_fill(beyond, torch.inf))

    def going_on(self, domains: Kind, still: Tensor) -> tuple[Kind, Tensor]:
        """The domains and the mask of those that go on: `still`, or an idle one where the other
        ranks may have some but this one has not."""
        if self.ranks == 1 or bool(still.any()):
            return domains, still
        idle = replace(domains, margin=torch.full_like(domains.margin, torch.inf))
        return idle, torch.arange(len(still), device=still.device) == 0

    def all_say(self, value: Any) -> list[Any]:
        """Every rank's value, in their order."""
        return [value] if self.ranks == 1 else self._groups.ranks_say(value)

    def gathered(self, mine: Kind) -> Kind:
        """The domains of all ranks, without idle ones."""
        if self.ranks == 1:
            return mine
        mine = mine.take(active(mine))
        counts = self.all_say(len(mine))
        return mine.unpacked(self._groups.ranks_join(mine.packed, counts)) if any(counts) else mine

    def joined(self, mine: Outcome[Kind], like: Kind) -> Outcome[Kind]:
        """What came of the whole round; `like` are domains of the kind, however many."""
        if self.ranks == 1:
            return mine
        opened, leaves = _one(mine.open, like), _one(mine.leaves, like)
        corners = [each.to(torch.device("cpu")) for each in mine.corners]
        accounts, every = zip(*self.all_say((mine.account, corners)), strict=True)
        whole = Outcome(
            SearchAccount(), [self.gathered(opened)], [self.gathered(leaves)], _worst(every)
        )
        whole.account.enter(accounts)
        return whole


def active(domains: Arrays) -> Tensor:
    """The mask `[D]` of domains that are not idle; NaN keeps one."""
    return ~(domains.margin == torch.inf)


def divided(searcher: Searcher, batch: Kind, work: Callable[[Kind], Outcome[Kind]]) -> list[Kind]:
    """Bound a batch together, replay the corners that come of it and put back what is open; those
    with nothing left to split."""
    division = Division(searcher.groups)
    mine = division.share(batch).to(searcher.device)
    whole = division.joined(work(mine), mine)
    searcher.search.enter([whole.account])
    for corners in whole.corners:
        searcher.search.found = searcher.search.found or searcher.look(corners.points)
    for each in whole.open:
        searcher.frontier.push(each)
    return whole.leaves


def _one(parts: list[Kind], like: Kind) -> Kind:
    return join([*parts, like.take(torch.arange(0))])


def _worst(every: Sequence[Sequence[Corners]]) -> list[Corners]:
    """Of the corners that all ranks have, the worst, as many as one rank looks at."""
    corners = [each for said in every for each in said]
    if not corners:
        return []
    together = join(corners)
    most = max(sum(map(len, said)) for said in every)
    return [together.take(torch.topk(together.margin, most, largest=False).indices)]
