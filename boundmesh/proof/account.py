"""The account of a search by branch and bound: how far it is, and what it has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from boundmesh.runtime.progress import Progress


class OpenDomains(Protocol):
    """The open domains of a search; a `Frontier`."""

    @property
    def worst(self) -> float: ...
    @property
    def bytes(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass
class SearchAccount:
    """The account of a search: the worst open margin, the smallest proved one, domains bounded,
    the most splits of one, those given up because nothing was left to split and
    the worst margin of these, domains still open, their bytes,
    and the most that ever were, and what was found, if a counterexample was."""

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
        """Enter margins `[D]`: the smallest proved one is kept. The mask of those still open."""
        still = ~(margin > 0)
        if not bool(still.all()):
            self.proved = min(self.proved, float(margin[~still].min()))
        return still

    def give_up(self, margin: Tensor) -> None:
        """Enter domains, by their margins `[D]`, of which nothing is left to split."""
        if len(margin):
            self.stuck += len(margin)
            self.hardest = min(self.hardest, float(margin.min()))

    def enter(self, parts: Sequence[SearchAccount]) -> None:
        """Add what was bounded in parts of a round."""
        every = [self, *parts]
        self.proved = min(part.proved for part in every)
        self.visited = sum(part.visited for part in every)
        self.stuck = sum(part.stuck for part in every)
        self.hardest = min(part.hardest for part in every)
        self.depth = max(part.depth for part in every)

    def survey(self, frontier: OpenDomains) -> None:
        """Enter what is open."""
        self.worst = min(frontier.worst, self.hardest)
        self.open, self.frontier_bytes = len(frontier), frontier.bytes

    def join(self, parts: Sequence[SearchAccount]) -> None:
        """Become the account of all groups' parts of one search."""
        self.stuck = self.visited = 0
        self.enter(parts)
        self.worst = min(part.worst for part in parts)
        self.open = sum(part.open for part in parts)
        self.frontier_bytes = sum(part.frontier_bytes for part in parts)
        self.widest = max(self.widest, self.open)
        self.found = next((part.found for part in parts if part.found), None)

    def tell(self, progress: Progress) -> None:
        progress.update(
            open=self.open,
            visited=self.visited,
            margin=self.worst,
            depth=self.depth,
            stuck=self.stuck,
            frontier_bytes=self.frontier_bytes,
        )
