"""Finds the largest certified radius of each input, and the smallest radius that is refuted.

A radius below a certified one is certified, and a radius above a refuted one is refuted. So each
method narrows the range between the two that the methods before it left. The next radius to try is
where the line through the worst margins at both ends crosses zero. A counterexample refutes every
radius from its own distance on, and points on the way to it are tried as well.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from boundmesh.certify import attack
from boundmesh.certify.account import CERTIFIED, FALSIFIED, Account
from boundmesh.certify.ladder import Ladder
from boundmesh.certify.nearer import nearer
from boundmesh.certify.run import Radius, Run
from boundmesh.certify.search import Searched
from boundmesh.certify.workers import Searchers, Task, share_of
from boundmesh.graph.graph import counted
from boundmesh.rational import rounded

# The next radius is at least this share of the range away from both of its ends.
INNER = 0.15
# How often each attack tries a smaller radius.
ATTACKS = 4


@dataclass
class Radii:
    """The largest certified and the smallest refuted radius of each input.

    certified  0 in the beginning
    falsified  infinite in the beginning
    above      the worst margin at the certified radius; at 0 it is the margin of the scores
    """

    certified: list[float]
    falsified: list[float]
    above: list[float] = field(default_factory=list)

    @staticmethod
    def of(count: int) -> Radii:
        return Radii([0.0] * count, [math.inf] * count, [math.inf] * count)


def find_largest(
    run: Run,
    account: Account,
    radii: Radii,
    most: Radius,
    tolerance: Radius,
    limit: float,
    searchers: Searchers,
) -> None:
    """Narrow the range of each open input to at most `tolerance`, as far as time allows.

    Radii above `most` are not tried. The searches of one input may take `limit` seconds in all.
    Raises OutOfTime.
    """
    bisection = Bisection(run, account, radii, rounded(Fraction(most), up=False), float(tolerance))
    try:
        bisection.run_all(limit, searchers)
    finally:
        bisection.enter()


class Bisection:
    """The ranges of all inputs while they are narrowed."""

    def __init__(
        self, run: Run, account: Account, radii: Radii, most: float, tolerance: float
    ) -> None:
        self.run, self.account, self.radii = run, account, radii
        self.most, self.tolerance = most, tolerance
        self.places = account.open
        scores = np.sort(run.scores, axis=1)
        radii.above = (scores[:, -1] - scores[:, -2]).tolist()

    def run_all(self, limit: float, searchers: Searchers) -> None:
        """Use attacks, the methods in turn, then a search for each range that is still wide."""
        if not self.places:
            return
        self.attack(attack.LIGHT)
        for method in Ladder(self.run).methods(self.most):
            if method == "alpha-crown":
                self.attack(attack.THOROUGH)
                searchers.start(len(self.open))
            self.narrow(method)
        self.attack(attack.THOROUGH)
        if self.run.settings.bounds.method == "auto":
            self.search(limit, searchers)

    @property
    def open(self) -> list[int]:
        """The inputs whose range is wider than the tolerance."""
        return [place for place in self.places if self.width(place) > self.tolerance]

    def top(self, place: int) -> float:
        """The end of the range of an input: refuted, or the largest radius of all."""
        return min(self.radii.falsified[place], self.most)

    def width(self, place: int) -> float:
        """How long the range of an input is; a range that is certified to its end has no length."""
        return self.top(place) - self.radii.certified[place]

    def narrow(self, method: str) -> None:
        """Raise certified radii by one method, until it cannot raise any by the tolerance."""
        ladder, account, clock = Ladder(self.run), self.account, self.run.clock
        failed: dict[int, tuple[float, float]] = {}
        while places := self._worth(failed):
            most = ladder.together(method, account.unstable)
            with clock.stage(method, counted(len(places), "input")):
                for batch in self.run.batches(places, most):
                    tried = [self._next(place, failed.get(place)) for place in batch]
                    margins = self._unknown(batch)
                    with account.timed(batch):
                        account.survey(self.run, ladder.improve(method, batch, tried, margins))
                    for row, place in enumerate(batch):
                        worst = float(margins[row].min())
                        if worst > 0:
                            self._raise(place, tried[row], margins[row], method)
                        else:
                            failed[place] = tried[row], worst
                    self._tell()

    def attack(self, effort: attack.AttackEffort) -> None:
        """Lower refuted radii by attacks in the range of each input."""
        run, account = self.run, self.account
        if not run.settings.attack.restarts:
            return
        missed: dict[int, float] = {}
        for turn in range(ATTACKS):
            places = [p for p in self.open if self.top(p) - missed.get(p, 0.0) > self.tolerance]
            if not places:
                return
            with run.clock.stage("attack", counted(len(places), "input")):
                for batch in run.batches(places):
                    tried = [self._attacked(place, missed) for place in batch]
                    with account.timed(batch):
                        found = nearer(run, attack.search(run, batch, tried, effort, turn))
                    for place, radius in zip(batch, tried, strict=True):
                        if place in found:
                            account.found[place], away = found[place]
                            self._lower(place, min(away, radius))
                        else:
                            missed[place] = max(radius, missed.get(place, 0.0))
                    self._tell()

    def search(self, limit: float, searchers: Searchers) -> None:
        """Search the wide ranges, the narrowest first, each until it is narrow or out of time."""
        run = self.run
        places = deque(sorted(self.open, key=self.width))
        spent, searched = dict.fromkeys(places, 0.0), 0

        def take() -> Task | None:
            if not places:
                return None
            share = share_of(run, limit, len(places), searchers.jobs)
            place = places.popleft()
            (margins,) = self._unknown([place])
            return Task(place, self._next(place, None), margins, {}, share - spent[place])

        def done(task: Task, found: Searched, seconds: float) -> None:
            nonlocal searched
            place = task.place
            spent[place] += seconds
            self.account.seconds[place] += seconds
            self._enter(task, found)
            if self.width(place) > self.tolerance and not found.reason and task.limit > seconds:
                places.appendleft(place)
            else:
                searched += 1
            self._tell(searched=searched)

        with run.clock.stage("search", counted(len(places), "input")):
            searchers.work(len(places), take, done)

    def enter(self) -> None:
        """Enter in the account the verdicts at the largest radius, where ranges give one."""
        for place in self.places:
            if self.radii.certified[place] >= self.most:
                self.account.words[place] = CERTIFIED
            elif self.radii.falsified[place] <= self.most:
                self.account.words[place] = FALSIFIED

    def _enter(self, task: Task, found: Searched) -> None:
        """Narrow the range of an input by the result of a search, or note why there is none."""
        place, radius = task.place, task.radius
        if found.counterexample is not None:
            point, away = nearer(self.run, {place: found.counterexample})[place]
            self.account.found[place] = point
            self._lower(place, min(away, float(radius)))
        elif found.reason:
            self.account.reasons[place] = f"at radius {float(radius):.6g}: {found.reason}"
        else:
            self._raise(place, float(radius), found.margins, "search")

    def _worth(self, failed: dict[int, tuple[float, float]]) -> list[int]:
        """Return the inputs that a method may still raise; it failed at the radii `failed`."""
        wide = []
        for place in self.open:
            end = min(self.top(place), failed.get(place, (math.inf, 0.0))[0])
            if end - self.radii.certified[place] > self.tolerance:
                wide.append(place)
        return wide

    def _next(self, place: int, failed: tuple[float, float] | None) -> float:
        """Return the next radius to try: first the largest of all, then one inside the range."""
        low, top = self.radii.certified[place], self.top(place)
        if failed is None:
            untried = self.radii.falsified[place] > self.most
            return top if untried else (low + top) / 2
        end, below = failed
        above = self.radii.above[place]
        share = above / (above - below) if math.isfinite(below) and above > 0 else 0.5
        share = min(max(share, INNER), 1 - INNER)
        return low + share * (min(end, top) - low) if end <= top else (low + top) / 2

    def _attacked(self, place: int, missed: dict[int, float]) -> float:
        """Return the radius to attack: first the largest, then the middle of the open range.

        The range begins at the largest radius that was certified, or attacked in vain, and ends at
        the smallest with a counterexample.
        """
        top = self.top(place)
        if self.radii.falsified[place] > self.most and place not in missed:
            return self.most
        return (max(missed.get(place, 0.0), self.radii.certified[place]) + top) / 2

    def _raise(self, place: int, radius: float, margins: torch.Tensor, stage: str) -> None:
        self.radii.certified[place] = radius
        self.radii.above[place] = float(margins.min())
        self.account.margins[place], self.account.stages[place] = margins, stage

    def _lower(self, place: int, radius: float) -> None:
        self.radii.falsified[place] = min(radius, self.radii.falsified[place])

    def _unknown(self, places: Sequence[int]) -> torch.Tensor:
        """Return margins before any bound, `[D, classes]`: ∞ for the label, else −∞."""
        labels = torch.from_numpy(self.run.labels[list(places)])[:, None]
        margins = torch.full((len(places), self.run.classes), -torch.inf, dtype=torch.float64)
        return margins.scatter(1, labels, torch.inf)

    def _tell(self, **facts: int) -> None:
        left = len(self.open)
        self.run.clock.progress.update(decided=len(self.account.words) - left, open=left, **facts)
