"""Turns the account of a run into its result."""

from __future__ import annotations

import math
from fractions import Fraction

from boundmesh.certify.account import CERTIFIED, UNKNOWN, Account
from boundmesh.certify.aim import Aim
from boundmesh.certify.distance import distance
from boundmesh.certify.radii import Radii
from boundmesh.certify.result import INTERRUPTED, TIMEOUT, Certification, Certified
from boundmesh.certify.run import CertifyRun
from boundmesh.graph.graph import Graph
from boundmesh.rational import rounded
from boundmesh.runtime.device import name_of, peak_bytes
from boundmesh.runtime.history import History

ENDED = {TIMEOUT: "out of time", INTERRUPTED: "interrupted", "": ""}
"""The beginning of the reason why an input is not decided, for each way in which a run ends."""


def result_of(
    run: CertifyRun,
    account: Account,
    radii: Radii,
    aim: Aim,
    ended: str,
    graph: Graph,
    history: History,
) -> Certification:
    """Return the result of a run, for the network `graph` as it was read.

    `ended` is TIMEOUT or INTERRUPTED where the run ended early, else empty.
    """
    inputs, clock, device = run.inputs, run.clock, run.layout.device
    indices = range(len(inputs))
    return Certification(
        inputs=tuple(_one(run, account, radii, aim, ended, index) for index in indices),
        eps=aim.radius,
        norm=inputs.norm,
        labelled=aim.labelled,
        largest=aim.largest,
        seconds=dict(clock.seconds),
        total_seconds=clock.spent,
        peak_bytes=peak_bytes(device),
        interrupted=ended,
        graph=graph,
        points=inputs.points.reshape(len(inputs), *inputs.shape),
        clip=inputs.clip,
        history=history,
        settings=run.settings,
        device=name_of(device, run.settings.layout.shape.size),
    )


def _one(
    run: CertifyRun, account: Account, radii: Radii, aim: Aim, ended: str, index: int
) -> Certified:
    found, word = account.found.get(index), account.words[index]
    certified, falsified = radii.certified[index], radii.falsified[index]
    if not aim.largest:
        certified = rounded(Fraction(aim.radius), up=False) if word == CERTIFIED else 0.0
    if found is not None:
        away = distance(found.input, run.inputs.points[index], run.inputs.norm)
        falsified = min(away, falsified, rounded(Fraction(aim.radius), up=True))
    return Certified(
        index=index,
        label=int(run.labels[index]),
        predicted=int(run.scores[index].argmax()),
        verdict=word,
        margins=account.margins[index].numpy().copy(),
        counterexample=None if found is None else found.input.reshape(run.inputs.shape),
        output=None if found is None else found.output,
        reason=reason(account, index, ended) if word == UNKNOWN else account.reasons.get(index, ""),
        stage=account.stages[index],
        seconds=account.seconds[index],
        certified_eps=certified,
        falsified_eps=falsified,
    )


def reason(account: Account, index: int, ended: str) -> str:
    """Explain in words why an input is not decided."""
    margins = account.margins[index]
    worst = int(margins.argmin())
    if index in account.reasons:
        why = account.reasons[index]
    elif float(margins[worst]) == -math.inf:
        why = "no bound was computed"
    else:
        why = f"the margin of class {worst} is {float(margins[worst]):.4g}, not above 0"
    early = ENDED[ended]
    return why if not early or why.startswith(early) else f"{early}; {why}"
