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
        self.indices = account.open
        scores = np.sort(run.scores, axis=1)
        radii.above = (scores[:, -1] - scores[:, -2]).tolist()

    def run_all(self, limit: float, searchers: Searchers) -> None:
        """Use attacks, the methods in turn, then a search for each range that is still wide."""
        if not self.indices:
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
        return self.ranges.wide(self.indices)

    def narrow(self, method: str) -> None:
        """Raise certified radii by one method, until it cannot raise any by the tolerance."""
        ladder, account, clock = Ladder(self.run), self.account, self.run.clock
        failed: dict[int, tuple[float, float]] = {}
        while indices := self.ranges.worth_bounding(self.open, failed):
            most = ladder.together(method, account.unstable)
            with clock.stage(method, counted(len(indices), "input")):
                for batch in self.run.batches(indices, most):
                    tried = [self.ranges.next(index, failed.get(index)) for index in batch]
                    margins = self._unknown(batch)
                    with account.timed(batch):
                        account.survey(self.run, ladder.improve(method, batch, tried, margins))
                    for row, index in enumerate(batch):
                        worst = float(margins[row].min())
                        if worst > 0:
                            self._raise(index, tried[row], margins[row], method)
                        else:
                            failed[index] = tried[row], worst
                    self._tell()

    def attack(self, effort: attack.DescentEffort) -> None:
        """Lower refuted radii by attacks in the range of each input."""
        run, account = self.run, self.account
        if not run.settings.attack.restarts:
            return
        missed: dict[int, float] = {}
        for turn in range(ATTACKS):
            indices = self.ranges.worth_attacking(self.open, missed)
            if not indices:
                return
            with run.clock.stage("attack", counted(len(indices), "input")):
                for batch in run.batches(indices):
                    tried = [self.ranges.to_attack(index, missed) for index in batch]
                    with account.timed(batch):
                        found = nearer(run, attack.search(run, batch, tried, effort, turn))
                    for index, radius in zip(batch, tried, strict=True):
                        if index in found:
                            account.found[index], away = found[index]
                            self._lower(index, min(away, radius))
                        else:
                            missed[index] = max(radius, missed.get(index, 0.0))
                    self._tell()

    def search(self, limit: float, searchers: Searchers) -> None:
        """Search the wide ranges, the narrowest first, each until it is narrow or out of time."""
        run = self.run
        indices = deque(sorted(self.open, key=self.ranges.width))
        spent, searched = dict.fromkeys(indices, 0.0), 0

        def take() -> InputSearch | None:
            if not indices:
                return None
            share = share_of(run, limit, len(indices), searchers.jobs)
            index = indices.popleft()
            (margins,) = self._unknown([index])
            return InputSearch(
                index, self.ranges.next(index, None), margins, {}, share - spent[index]
            )

        def done(task: InputSearch, result: Searched, seconds: float) -> None:
            nonlocal searched
            index = task.index
            spent[index] += seconds
            self.account.seconds[index] += seconds
            self._enter(task, result)
            goes_on = not result.reason and task.limit > seconds
            if goes_on and self.ranges.wide([index]):
                indices.appendleft(index)
            else:
                searched += 1
            self._tell(searched=searched)

        with run.clock.stage("search", counted(len(indices), "input")):
            searchers.work(len(indices), take, done)

    def enter(self) -> None:
        """Enter in the account the verdicts at the largest radius, where ranges give one."""
        for index in self.indices:
            if self.radii.certified[index] >= self.ranges.most:
                self.account.words[index] = CERTIFIED
            elif self.radii.falsified[index] <= self.ranges.most:
                self.account.words[index] = FALSIFIED

    def _enter(self, task: InputSearch, result: Searched) -> None:
        """Narrow the range of an input by the result of a search, or note why there is none."""
        index, radius = task.index, task.radius
        if result.counterexample is not None:
            point, away = nearer(self.run, {index: result.counterexample})[index]
            self.account.found[index] = point
            self._lower(index, min(away, float(radius)))
        elif result.reason:
            self.account.reasons[index] = f"at radius {float(radius):.6g}: {result.reason}"
        else:
            self._raise(index, float(radius), result.margins, "search")

    def _raise(self, index: int, radius: float, margins: torch.Tensor, stage: str) -> None:
        self.radii.certified[index] = radius
        self.radii.above[index] = float(margins.min())
        self.account.margins[index], self.account.stages[index] = margins, stage

    def _lower(self, index: int, radius: float) -> None:
        self.radii.falsified[index] = min(radius, self.radii.falsified[index])

    def _unknown(self, indices: Sequence[int]) -> torch.Tensor:
        """Return margins before any bound, `[D, classes]`: ∞ for the label, else −∞."""
        labels = torch.from_numpy(self.run.labels[list(indices)])[:, None]
        margins = torch.full((len(indices), self.run.classes), -torch.inf, dtype=torch.float64)
        return margins.scatter(1, labels, torch.inf)

    def _tell(self, **facts: int) -> None:
        left = len(self.open)
        self.run.clock.progress.update(decided=len(self.account.words) - left, open=left, **facts)
