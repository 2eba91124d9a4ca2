"""Decides single inputs by branch and bound, as `verify` does, with what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.attack.pgd import Attack
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.certify.run import CertifyRun, Radius
from boundmesh.operators.interval import Interval
from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing, what_remains
from boundmesh.property import Property
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.search.decide import branch
from boundmesh.verdict import Counterexample

# The clock of the attack ends after this share of the time that is left; the attack takes a fifth
# of that.
ATTACK_SHARE, MOST_ATTACK = 0.1, 0.5


@dataclass(frozen=True)
class Searched:
    """What a search came to.

    margins         `[classes]`, the best margins
    counterexample  the counterexample that was found, or None
    reason          why there is no decision; empty where there is one
    """

    margins: Tensor
    counterexample: Counterexample | None = None
    reason: str = ""


def search(
    run: CertifyRun,
    index: int,
    radius: Radius,
    margins: Tensor,
    known: Mapping[str, Interval],
    limit: float,
) -> Searched:
    """Decide one input within `limit` seconds: attack it widely, then split its region.

    `margins` `[classes]` are the margins so far, and `known` the bounds of the start nodes, which
    may be empty. Raises OutOfTime at the deadline of the run.
    """
    clock = Clock(min(limit, run.clock.left))
    clock.agree = run.clock.agree
    region = run.inputs.region(index, radius)
    prop, layout = run.property(index, region), run.layout
    others = run.others(index)
    asked = margins_of(run.graph, prop.cases[0].clauses)
    shape = run.graph[run.graph.input].shape
    tensors = region_tensors([region], shape, layout.dtype, layout.device)
    slack = torch.from_numpy(run.slack[index])[others]
    question = Question(asked, tensors, (0,), slack, layout, run.rounding)
    standing = replace(
        Standing.at_start(question),
        rows=margins[others].unsqueeze(0),
        bounds=known,
        domains=torch.tensor([0]),
    )

    def best() -> Tensor:
        # The row of an infinite margin counts as open there.
        return margins.scatter(0, others, standing.clauses[0])

    def look(case: int, points: Tensor) -> Counterexample | None:
        return run.confirmed(index, region, list(points.double().cpu().numpy()))

    chosen, left = run.settings, standing.open[0].nonzero().flatten().tolist()
    try:
        found = _attacked(run, prop, left, clock)
        if found is not None:
            return Searched(best(), found)
        for account in branch(standing, chosen.bounds, chosen.branch, clock, look, run.groups):
            if isinstance(account.found, Counterexample):
                return Searched(best(), account.found)
    except OutOfTime:
        run.clock.check()
        return Searched(best(), None, f"out of time; {what_remains([standing])}")
    return Searched(best(), None, what_remains([standing]) if standing.open.any() else "")


def _attacked(
    run: CertifyRun, prop: Property, clauses: Sequence[int], clock: Clock
) -> Counterexample | None:
    """Search a counterexample for a small share of the time; raises OutOfTime after all of it."""
    short = Clock(min(ATTACK_SHARE * clock.left, MOST_ATTACK))
    short.agree = clock.agree
    chosen, weights, left = run.settings, run.layout.weights, {0: clauses}
    recordable = run.layout.recordable
    with suppress(OutOfTime), run.layout.without_fetched_weights():
        found = Attack(
            run.graph,
            weights,
            prop,
            chosen.attack,
            short,
            chosen.seed,
            left,
            run.replay,
            recordable,
        ).finish()
        return clock.agree(found)
    clock.check()
    return None
