"""Finds the largest certified radius of each input, and the smallest radius that is refuted.

A radius below a certified one is certified, and a radius above a refuted one is refuted. So each
method narrows the range between the two that the methods before it left. The next radius to try is
where the line through the worst margins at both ends crosses zero. A counterexample refutes every
radius from its own distance on, and points on the way to it are tried as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from boundmesh.certify import attack
from boundmesh.certify.account import CERTIFIED, FALSIFIED, Account
from boundmesh.certify.ladder import Ladder
from boundmesh.certify.nearer import nearer
from boundmesh.certify.radii import Radii, RadiusRanges
from boundmesh.certify.run import CertifyRun, Radius
from boundmesh.certify.search import Searched
from boundmesh.certify.workers import InputSearch, Searchers, share_of
from boundmesh.graph.graph import counted
from boundmesh.rational import rounded

# How often each attack tries a smaller radius.
ATTACKS = 4


def find_largest(
    run: CertifyRun,
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
        self, run: CertifyRun, account: Account, radii: Radii, most: float, tolerance: float
    ) -> None:
        self.run, self.account, self.radii = run, account, radii
        self.ranges = RadiusRanges(radii, most, tolerance)
        self.places = account.open
        scores = np.sort(run.scores, axis=1)
        radii.above = (scores[:, -1] - scores[:, -2]).tolist()

    def run_all(self, limit: float, searchers: Searchers) -> None:
        """Use attacks, the methods in turn, then a search for each range that is still wide."""
        if not self.places:
            return
        self.attack(attack.LIGHT)
        for method in Ladder(self.run).methods(self.ranges.most):
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
        return self.ranges.wide(self.places)

    def narrow(self, method: str) -> None:
        """Raise certified radii by one method, until it cannot raise any by the tolerance."""
        ladder, account, clock = Ladder(self.run), self.account, self.run.clock
        failed: dict[int, tuple[float, float]] = {}
        while places := self.ranges.worth_bounding(self.open, failed):
            most = ladder.together(method, account.unstable)
            with clock.stage(method, counted(len(places), "input")):
                for batch in self.run.batches(places, most):
                    tried = [self.ranges.next(place, failed.get(place)) for place in batch]
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

    def attack(self, effort: attack.DescentEffort) -> None:
        """Lower refuted radii by attacks in the range of each input."""
        run, account = self.run, self.account
        if not run.settings.attack.restarts:
            return
        missed: dict[int, float] = {}
        for turn in range(ATTACKS):
            places = self.ranges.worth_attacking(self.open, missed)
            if not places:
                return
            with run.clock.stage("attack", counted(len(places), "input")):
                for batch in run.batches(places):
                    tried = [self.ranges.to_attack(place, missed) for place in batch]
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
        places = deque(sorted(self.open, key=self.ranges.width))
        spent, searched = dict.fromkeys(places, 0.0), 0

        def take() -> InputSearch | None:
            if not places:
                return None
            share = share_of(run, limit, len(places), searchers.jobs)
            place = places.popleft()
            (margins,) = self._unknown([place])
            return InputSearch(
                place, self.ranges.next(place, None), margins, {}, share - spent[place]
            )

        def done(task: InputSearch, result: Searched, seconds: float) -> None:
            nonlocal searched
            place = task.place
            spent[place] += seconds
            self.account.seconds[place] += seconds
            self._enter(task, result)
            goes_on = not result.reason and task.limit > seconds
            if goes_on and self.ranges.wide([place]):
                places.appendleft(place)
            else:
                searched += 1
            self._tell(searched=searched)

        with run.clock.stage("search", counted(len(places), "input")):
            searchers.work(len(places), take, done)

    def enter(self) -> None:
        """Enter in the account the verdicts at the largest radius, where ranges give one."""
        for place in self.places:
            if self.radii.certified[place] >= self.ranges.most:
                self.account.words[place] = CERTIFIED
            elif self.radii.falsified[place] <= self.ranges.most:
                self.account.words[place] = FALSIFIED

    def _enter(self, task: InputSearch, result: Searched) -> None:
        """Narrow the range of an input by the result of a search, or note why there is none."""
        place, radius = task.place, task.radius
        if result.counterexample is not None:
            point, away = nearer(self.run, {place: result.counterexample})[place]
            self.account.found[place] = point
            self._lower(place, min(away, float(radius)))
        elif result.reason:
            self.account.reasons[place] = f"at radius {float(radius):.6g}: {result.reason}"
        else:
            self._raise(place, float(radius), result.margins, "search")

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
