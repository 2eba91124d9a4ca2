"""Certifies all inputs at one radius: attack, bounds from cheap to tight, search for the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch

from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.certify import attack
from boundmesh.certify.account import CERTIFIED, Account
from boundmesh.certify.ladder import WITHOUT_ROWS, Ladder
from boundmesh.certify.run import CertifyRun, Radius
from boundmesh.certify.search import Searched
from boundmesh.certify.workers import InputSearch, Searchers, share_of
from boundmesh.graph.graph import counted
from boundmesh.proof import float64
from boundmesh.proof.guarantee import rounding_for

# A search is repeated with more time only where there is so many times as much for it.
WORTH_REPEATING = 3


def certify_at(
    run: CertifyRun, account: Account, radius: Radius, limit: float, searchers: Searchers
) -> None:
    """Decide the open inputs of `account` at one radius, each search within `limit` seconds.

    Raises OutOfTime.
    """
    if not account.open:
        return
    seek(run, account, radius, attack.LIGHT)
    methods = Ladder(run).methods(radius)
    for method in methods:
        if method == "alpha-crown" and len(methods) > 1:
            seek(run, account, radius, attack.THOROUGH)
            searchers.start(len(account.open))
        climb(run, account, method, radius)
    if run.settings.bounds.method != "auto":
        return
    if account.open and float64.helps(run.graph, run.layout):
        climb(in_float64(run), account, "crown", radius, float64.STAGE)
        climb(in_float64(run), account, "alpha-crown", radius, float64.STAGE)
    branch(run, account, radius, limit, searchers)


def seek(run: CertifyRun, account: Account, radius: Radius, effort: attack.DescentEffort) -> None:
    """Search counterexamples of the open inputs, unless attacks are switched off."""
    indices = account.open
    if not indices or not run.settings.attack.restarts:
        return
    with run.clock.stage("attack", counted(len(indices), "input")):
        for batch in run.batches(indices):
            with account.timed(batch):
                counterexamples = attack.search(run, batch, [radius] * len(batch), effort)
            account.falsify(counterexamples, "attack")
            tell(run, account)


def climb(
    run: CertifyRun, account: Account, method: str, radius: Radius, stage: str | None = None
) -> None:
    """Bound the open inputs by one method, in batches."""
    indices, ladder = account.open, Ladder(run)
    if not indices:
        return
    most = ladder.together(method, account.unstable)
    with run.clock.stage(stage or method, counted(len(indices), "input")):
        for batch in run.batches(indices, most):
            margins = account.margins[batch]
            try:
                with account.timed(batch):
                    bounds = ladder.improve(method, batch, [radius] * len(batch), margins)
            finally:
                # What an interrupted method has proved so far holds as well.
                account.margins[batch] = margins
                account.certify(batch, stage or method)
            if bounds and stage is None:
                account.survey(run, bounds)
                # A search computes bounds of its own that are better than intervals.
                if method not in WITHOUT_ROWS:
                    account.keep(batch, bounds)
            tell(run, account)


def branch(
    run: CertifyRun, account: Account, radius: Radius, limit: float, searchers: Searchers
) -> None:
    """Search the open inputs one by one, those nearest to a proof first.

    With a deadline each gets an even share of the time that is left. Where there is far more time
    left in the end, those still open are searched again.
    """
    given = 0.0
    while indices := nearest_first(account):
        given = max(given, share_of(run, limit, len(indices), searchers.jobs))
        _branch(run, account, radius, indices, limit, searchers)
        again = share_of(run, limit, len(account.open), searchers.jobs)
        if again == float("inf") or again < WORTH_REPEATING * given:
            return


def _branch(
    run: CertifyRun,
    account: Account,
    radius: Radius,
    indices: Sequence[int],
    limit: float,
    searchers: Searchers,
) -> None:
    """Search every one of `indices` once."""
    left, searched = deque(indices), 0

    def take() -> InputSearch | None:
        if not left:
            return None
        share = share_of(run, limit, len(left), searchers.jobs)
        index = left.popleft()
        return InputSearch(
            index, radius, account.margins[index], account.known.get(index, {}), share
        )

    def done(task: InputSearch, result: Searched, seconds: float) -> None:
        nonlocal searched
        searched += 1
        index = task.index
        account.seconds[index] += seconds
        account.margins[index] = result.margins
        if result.counterexample is not None:
            account.falsify({index: result.counterexample}, "search")
        elif result.reason:
            account.reasons[index] = result.reason
        else:
            account.certify([index], "search")
        tell(run, account, searched=searched)

    with run.clock.stage("search", counted(len(indices), "input")):
        searchers.work(len(indices), take, done)


def nearest_first(account: Account) -> Sequence[int]:
    """Return the open inputs, the one whose worst margin is nearest to zero first."""
    return sorted(account.open, key=lambda index: (-float(account.margins[index].min()), index))


def in_float64(run: CertifyRun) -> CertifyRun:
    """Return the run with bounds in float64."""
    layout = OneDevice(run.graph, run.layout.device, torch.float64)
    rounding = rounding_for(run.graph, run.settings, layout)
    return replace(run, layout=layout, rounding=rounding)


def tell(run: CertifyRun, account: Account, **facts: int) -> None:
    """Report how many inputs are decided."""
    left = len(account.open)
    done = len(account.words) - left
    run.clock.progress.update(decided=done, certified=account.count(CERTIFIED), open=left, **facts)
