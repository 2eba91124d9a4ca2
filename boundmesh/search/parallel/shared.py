"""Divides one search among groups: each has some of the open domains, and at times all meet.

A domain is in one frontier at any time. It leaves the frontier when it is bounded or sent to
another group, and a group receives exactly the domains that were sent to it. So when no group has
an open domain, every part of the region was refuted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boundmesh.errors import DeviceError
from boundmesh.proof.account import SearchAccount
from boundmesh.search.frontier import Frontier
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.searcher import Searcher

# The most rounds, and the most seconds, between two meetings while every group has enough to do. A
# group that has found a counterexample, or has no domain left, waits at most so long.
ROUNDS = 8
SECONDS = 0.5
# The domains that a group sends to others in one meeting take at most so many bytes.
MOST_BYTES = 2**28


@dataclass(frozen=True)
class Message:
    """What a group sends in a meeting.

    account  the account of its part of the search
    batch    the number of domains in its batch
    pace     its seconds per round
    limit    the number of domains to bound in all; the first group's number holds
    """

    account: SearchAccount
    batch: int
    pace: float
    limit: float


class Shared:
    """One group's view of a search that all groups share.

    `whole` is the joint account of all groups at their last meeting. A single group holds a meeting
    of its own after every round.
    """

    def __init__(self, searcher: Searcher, meetings: Meetings) -> None:
        self._searcher, self.meetings = searcher, meetings
        self.whole = SearchAccount()
        self._rounds = self._planned = 0
        self._met = searcher.clock.spent

    @property
    def begins(self) -> bool:
        """True for the group in which the search begins."""
        return self.meetings.first

    def goes_on(self, frontier: Frontier[Any], limit: float = float("inf")) -> bool:
        """Return True if this group must work on a batch of `frontier` now.

        A group with an empty frontier waits until it receives domains. The result is False, for all
        groups at once, when no group has a domain, when a counterexample was found, or once `limit`
        domains have been bounded in all. The limit does not end a search whose number of open
        domains has fallen to half of its peak. Raises OutOfTime, and the error that has stopped
        another group.
        """
        self._searcher.clock.check()
        while not self._rounds or not len(frontier) or self._searcher.search.found:
            if not self._meet(frontier, limit):
                return False
        self._rounds -= 1
        return True

    def _meet(self, frontier: Frontier[Any], limit: float) -> bool:
        own_account, whole = self._searcher.search, self.whole
        own_account.survey(frontier)
        pace = (self._searcher.clock.spent - self._met) / max(1, self._planned - self._rounds)
        messages = self.meetings.exchange(Message(own_account, self._searcher.batch, pace, limit))
        whole.join([message.account for message in messages])
        whole.show(self._searcher.clock.progress)
        self._rounds = self._planned = 0
        if whole.found or not whole.open:
            return False
        if whole.visited > messages[0].limit and 2 * whole.open > whole.widest:
            return False
        most = MOST_BYTES * whole.open // max(1, whole.frontier_bytes)
        counts = [message.account.open for message in messages]
        plan = transfers(counts, max(1, most))
        self._pass_on(frontier, plan)
        self._planned = rounds(messages, min(after(counts, plan)))
        self._rounds, self._met = self._planned, self._searcher.clock.spent
        return True

    def _pass_on(self, frontier: Frontier[Any], plan: Sequence[Sequence[int]]) -> None:
        """Send and receive domains as in `plan`; DeviceError where another number arrives."""
        if not any(map(any, plan)):
            return
        own = self.meetings.groups.number
        gifts = [frontier.give(count) if count else None for count in plan[own]]
        for gives, domains in zip(plan, self.meetings.swap(gifts), strict=True):
            if (0 if domains is None else len(domains)) != gives[own]:
                raise DeviceError("the groups of domains are out of step")
            if domains is not None:
                frontier.push(domains)


def rounds(messages: Sequence[Message], fewest: int) -> int:
    """Return the number of rounds until the next meeting.

    No group has fewer than `fewest` domains now. Where these are less than a batch, the groups meet
    after one round.
    """
    if len(messages) == 1 or fewest < max(message.batch for message in messages):
        return 1
    slowest = max(message.pace for message in messages)
    return ROUNDS if slowest * ROUNDS <= SECONDS else max(1, int(SECONDS / slowest))


def after(counts: Sequence[int], plan: Sequence[Sequence[int]]) -> list[int]:
    """Return how many domains each group has once `plan` is carried out."""
    given = [sum(gives) for gives in plan]
    taken = [sum(column) for column in zip(*plan, strict=True)]
    return [have - less + more for have, less, more in zip(counts, given, taken, strict=True)]


def transfers(counts: Sequence[int], most: int) -> list[list[int]]:
    """Return how many domains group g sends to group t, at `[g][t]`.

    Group g holds `counts[g]` domains. Nothing is sent unless some group holds less than half of the
    mean. Then groups below the mean are filled up to it; no group sends more than `most`.
    """
    groups = len(counts)
    share = sum(counts) // groups
    plan = [[0] * groups for _ in counts]
    if 2 * min(counts) >= share:
        return plan
    surplus = [min(max(0, count - share), most) for count in counts]
    for taker, count in enumerate(counts):
        lack = max(0, share - count)
        for giver in range(groups):
            gift = min(lack, surplus[giver])
            plan[giver][taker] = gift
            lack, surplus[giver] = lack - gift, surplus[giver] - gift
    return plan
