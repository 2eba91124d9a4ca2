"""The account of a branch-and-bound search: how far it is, and the counterexample it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from boundmesh.runtime.progress import Progress


class OpenDomains(Protocol):
    """The open domains of a search. `Frontier` has this interface."""

    @property
    def worst(self) -> float: ...
    @property
    def bytes(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass
class SearchAccount:
    """The account of a branch-and-bound search.

    worst           the worst margin of an open domain
    proved          the smallest margin of a proved domain
    visited         the number of domains bounded so far
    stuck           the number of domains that were given up, as they had nothing left to split
    hardest         the worst margin of these
    depth           the most splits of any domain
    open            the number of domains that are open
    frontier_bytes  the bytes that the open domains take
    widest          the largest number of domains that were open at a time
    found           the counterexample that was found, or None
    """

    worst: float = float("-inf")
    proved: float = float("inf")
    visited: int = 0
    stuck: int = 0
    hardest: float = float("inf")
    depth: int = 0
    open: int = 0
    frontier_bytes: int = 0
    widest: int = 0
    found: object = None

    def count(self, margin: Tensor) -> Tensor:
        """Enter the margins `[D]` of bounded domains; return the mask of those that are open.

        The smallest proved margin is kept.
        """
        still = ~(margin > 0)
        if not bool(still.all()):
            self.proved = min(self.proved, float(margin[~still].min()))
        return still

    def give_up(self, margin: Tensor) -> None:
        """Enter the margins `[D]` of domains that have nothing left to split."""
        if len(margin):
            self.stuck += len(margin)
            self.hardest = min(self.hardest, float(margin.min()))

    def enter(self, parts: Sequence[SearchAccount]) -> None:
        """Add the accounts of the parts of one round."""
        accounts = [self, *parts]
        self.proved = min(account.proved for account in accounts)
        self.visited = sum(account.visited for account in accounts)
        self.stuck = sum(account.stuck for account in accounts)
        self.hardest = min(account.hardest for account in accounts)
        self.depth = max(account.depth for account in accounts)

    def survey(self, frontier: OpenDomains) -> None:
        """Enter the number, bytes and worst margin of the open domains."""
        self.worst = min(frontier.worst, self.hardest)
        self.open, self.frontier_bytes = len(frontier), frontier.bytes

    def join(self, parts: Sequence[SearchAccount]) -> None:
        """Replace this account by the joint account of all groups' parts of one search."""
        self.stuck = self.visited = 0
        self.enter(parts)
        self.worst = min(part.worst for part in parts)
        self.open = sum(part.open for part in parts)
        self.frontier_bytes = sum(part.frontier_bytes for part in parts)
        self.widest = max(self.widest, self.open)
        self.found = next((part.found for part in parts if part.found), None)

    def show(self, progress: Progress) -> None:
        progress.update(
            open=self.open,
            visited=self.visited,
            margin=self.worst,
            depth=self.depth,
            stuck=self.stuck,
            frontier_bytes=self.frontier_bytes,
        )
