"""Divides a round among the ranks of a group: each bounds a share, then all exchange the results.

The ranks of a group hold equal frontiers and take the same batch off them. Of P ranks, rank r
bounds every P-th domain, beginning with the r-th. The results are joined in the order of ranks, so
that the frontiers stay equal. A group of one rank bounds all domains and joins nothing.

The ranks of a group fetch weights from each other, so each must sweep as often as the others. A
rank without domains to bound sweeps an idle domain: a copy whose margin is infinite, so that none
of its children is ever open.
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
    """Points at which bounds are attained.

    margin  `[K]`: the margin of each point's domain
    points  `[K, *input_shape]`
    """

    points: Tensor


@dataclass
class Outcome(Generic[Kind]):
    """The result of a round, or of one rank's share of it.

    account  the account of the domains bounded
    open     batches of domains that are open
    leaves   batches of open domains with nothing left to split
    corners  the points where the worst bounds are attained
    """

    account: SearchAccount = field(default_factory=SearchAccount)
    open: list[Kind] = field(default_factory=list)
    leaves: list[Kind] = field(default_factory=list)
    corners: list[Corners] = field(default_factory=list)


class Division:
    """Divides rounds among the ranks of a group."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    @property
    def ranks(self) -> int:
        return self._groups.ranks

    def share(self, batch: Kind) -> Kind:
        """Return this rank's share of a batch.

        All shares have the same length. Where domains are missing, the last one is idle.
        """
        if self.ranks == 1:
            return batch
        indices = self._groups.rank_in_group + self.ranks * torch.arange(
            -(-len(batch) // self.ranks)
        )
        chosen = batch.take(indices.clamp(max=len(batch) - 1))
        beyond = (indices >= len(batch)).to(chosen.margin.device)
        return replace(chosen, margin=chosen.margin.masked_fill(beyond, torch.inf))

    def going_on(self, domains: Kind, still: Tensor) -> tuple[Kind, Tensor]:
        """Return domains, and the mask of those to go on with, which is `still` if it has any.

        Otherwise all domains become idle and one of them goes on, since other ranks may have some.
        """
        if self.ranks == 1 or bool(still.any()):
            return domains, still
        idle = replace(domains, margin=torch.full_like(domains.margin, torch.inf))
        return idle, torch.arange(len(still), device=still.device) == 0

    def all_gather_objects(self, value: Any) -> list[Any]:
        """Exchange values; return that of every rank, in the order of ranks."""
        return [value] if self.ranks == 1 else self._groups.all_gather_ranks(value)

    def gathered(self, domains: Kind) -> Kind:
        """Exchange domains; return those of all ranks, without idle ones."""
        if self.ranks == 1:
            return domains
        domains = domains.take(active(domains))
        counts = self.all_gather_objects(len(domains))
        return (
            domains.unpacked(self._groups.all_gather_rows(domains.packed, counts))
            if any(counts)
            else domains
        )

    def joined(self, outcome: Outcome[Kind], like: Kind) -> Outcome[Kind]:
        """Join the results of all ranks; return that of the whole round.

        `like` is any batch of the same kind, of which only the shapes are used.
        """
        if self.ranks == 1:
            return outcome
        opened, leaves = _one(outcome.open, like), _one(outcome.leaves, like)
        corners = [corner.to(torch.device("cpu")) for corner in outcome.corners]
        accounts, all_corners = zip(
            *self.all_gather_objects((outcome.account, corners)), strict=True
        )
        whole = Outcome(
            SearchAccount(), [self.gathered(opened)], [self.gathered(leaves)], _worst(all_corners)
        )
        whole.account.enter(accounts)
        return whole


def active(domains: Arrays) -> Tensor:
    """Return the mask `[D]` of domains that are not idle. A domain with margin NaN is not idle."""
    return ~(domains.margin == torch.inf)


def divided(searcher: Searcher, batch: Kind, work: Callable[[Kind], Outcome[Kind]]) -> list[Kind]:
    """Bound a batch on all ranks of a group, and put the open domains back into the frontier.

    The corners of the results are replayed. Returns the domains with nothing left to split.
    """
    division = Division(searcher.groups)
    share = division.share(batch).to(searcher.device)
    whole = division.joined(work(share), share)
    searcher.search.enter([whole.account])
    for corners in whole.corners:
        searcher.search.found = searcher.search.found or searcher.look(corners.points)
    for domains in whole.open:
        searcher.frontier.push(domains)
    return whole.leaves


def _one(parts: list[Kind], like: Kind) -> Kind:
    return join([*parts, like.take(torch.arange(0))])


def _worst(by_rank: Sequence[Sequence[Corners]]) -> list[Corners]:
    """Return the corners of least margin of all ranks, as many as the rank with most has."""
    corners = [batch for of_rank in by_rank for batch in of_rank]
    if not corners:
        return []
    together = join(corners)
    most = max(sum(map(len, of_rank)) for of_rank in by_rank)
    return [together.take(torch.topk(together.margin, most, largest=False).indices)]
