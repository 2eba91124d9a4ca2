"""A search in parts: each group has some of the open domains, works for some rounds, then all meet.

A domain is in one frontier at any time: it leaves it by being worked on or by being given away, and
what is given to a group is all that this one takes in. So no open domain anywhere means that every
part of the region was refuted.
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

# Rounds between two meetings, at most, while every group has enough to do, and seconds: so long may
# a group wait that has found something or has nothing left.
ROUNDS = 8
SECONDS = 0.5
# Domains that a group gives away in one meeting take at most so many bytes.
MOST_BYTES = 2**28


@dataclass(frozen=True)
class Message:
    """What a group says in a meeting: its account, its batch, its seconds per round, and how many
    domains it would bound, of which the first group's number holds."""

    account: SearchAccount
    batch: int
    pace: float
    limit: float


class Shared:
    """One group's view of a search. `whole` is the account of all groups, as of their last meeting.

    Where there is one group it meets itself after every round.
    """

    def __init__(self, searcher: Searcher, meetings: Meetings) -> None:
        self._searcher, self.meetings = searcher, meetings
        self.whole = SearchAccount()
        self._rounds = self._planned = 0
        self._met = searcher.clock.spent

    @property
    def begins(self) -> bool:
        """Whether this is the group that all domains come from."""
        return self.meetings.first

    def goes_on(self, frontier: Frontier[Any], limit: float = float("inf")) -> bool:
        """Whether this group is to work on a batch of `frontier` now; waits for one to come.

        False, for all groups alike, when no group has one or something was found, or once `limit`
        domains have been bounded in all: but what has begun to shrink is left to itself. Raises
        OutOfTime, and what has stopped another group.
        """
        self._searcher.clock.check()
        while not self._rounds or not len(frontier) or self._searcher.search.found:
            if not self._meet(frontier, limit):
                return False
        self._rounds -= 1
        return True

    def _meet(self, frontier: Frontier[Any], limit: float) -> bool:
        mine, whole = self._searcher.search, self.whole
        mine.survey(frontier)
        pace = (self._searcher.clock.spent - self._met) / max(1, self._planned - self._rounds)
        said = self.meetings.say(Message(mine, self._searcher.batch, pace, limit))
        whole.join([word.account for word in said])
        whole.tell(self._searcher.clock.progress)
        self._rounds = self._planned = 0
        if whole.found or not whole.open:
            return False
        if whole.visited > said[0].limit and 2 * whole.open > whole.widest:
            return False
        most = MOST_BYTES * whole.open // max(1, whole.frontier_bytes)
        counts = [word.account.open for word in said]
        plan = transfers(counts, max(1, most))
        self._pass_on(frontier, plan)
        self._planned = rounds(said, min(after(counts, plan)))
        self._rounds, self._met = self._planned, self._searcher.clock.spent
        return True

    def _pass_on(self, frontier: Frontier[Any], plan: Sequence[Sequence[int]]) -> None:
        """Give and take what `plan` says; DeviceError where something else arrives."""
        if not any(map(any, plan)):
            return
        me = self.meetings.groups.rank
        gifts = [frontier.give(count) if count else None for count in plan[me]]
        for gives, domains in zip(plan, self.meetings.swap(gifts), strict=True):
            if (0 if domains is None else len(domains)) != gives[me]:
                raise DeviceError("the groups of domains are out of step")
            if domains is not None:
                frontier.push(domains)


def rounds(said: Sequence[Message], fewest: int) -> int:
    """Rounds until the next meeting, in which no group has less than `fewest` domains now; one
    where that is less than a batch."""
    if len(said) == 1 or fewest < max(word.batch for word in said):
        return 1
    slowest = max(word.pace for word in said)
    return ROUNDS if slowest * ROUNDS <= SECONDS else max(1, int(SECONDS / slowest))


def after(counts: Sequence[int], plan: Sequence[Sequence[int]]) -> list[int]:
    """How many domains each group has once `plan` is carried out."""
    given = [sum(gives) for gives in plan]
    taken = [sum(column) for column in zip(*plan, strict=True)]
    return [have - less + more for have, less, more in zip(counts, given, taken, strict=True)]


def transfers(counts: Sequence[int], most: int) -> list[list[int]]:
    """How many domains group g gives to group t, `[g][t]`, where they have `counts`.

    None, unless a group has less than half of an even share; then all get one, as far as it takes
    no group more than `most`.
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
