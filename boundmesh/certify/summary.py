"""Turns the account of a run into its result."""

from __future__ import annotations

import math
from fractions import Fraction

from boundmesh.certify.account import CERTIFIED, UNKNOWN, Account
from boundmesh.certify.distance import distance
from boundmesh.certify.largest import Radii
from boundmesh.certify.result import Certified
from boundmesh.certify.run import Radius, Run
from boundmesh.rational import rounded

ENDED = {"timeout": "out of time", "interrupted": "interrupted", "": ""}


def summarized(
    run: Run, account: Account, radii: Radii, radius: Radius, ended: str, largest: bool
) -> tuple[Certified, ...]:
    """Return the result of every input; `ended` tells why the run ended early, or is empty."""
    return tuple(
        _one(run, account, radii, place, radius, ended, largest) for place in range(len(run.inputs))
    )


def _one(
    run: Run,
    account: Account,
    radii: Radii,
    place: int,
    radius: Radius,
    ended: str,
    largest: bool,
) -> Certified:
    found, word = account.found.get(place), account.words[place]
    margins = account.margins[place].numpy().copy()
    certified, falsified = radii.certified[place], radii.falsified[place]
    if not largest:
        certified = rounded(Fraction(radius), up=False) if word == CERTIFIED else 0.0
    if found is not None:
        away = distance(found.input, run.inputs.points[place], run.inputs.norm)
        falsified = min(away, falsified, rounded(Fraction(radius), up=True))
    return Certified(
        index=place,
        label=int(run.labels[place]),
        predicted=int(run.scores[place].argmax()),
        verdict=word,
        margins=margins,
        counterexample=None if found is None else found.input.reshape(run.inputs.shape),
        output=None if found is None else found.output,
        reason=reason(account, place, ended) if word == UNKNOWN else account.reasons.get(place, ""),
        stage=account.stages[place],
        seconds=account.seconds[place],
        certified_eps=certified,
        falsified_eps=falsified,
    )


def reason(account: Account, place: int, ended: str) -> str:
    """Explain in words why an input is not decided."""
    margins = account.margins[place]
    worst = int(margins.argmin())
    if place in account.reasons:
        why = account.reasons[place]
    elif float(margins[worst]) == -math.inf:
        why = "no bound was computed"
    else:
        why = f"the margin of class {worst} is {float(margins[worst]):.4g}, not above 0"
    early = ENDED[ended]
    return why if not early or why.startswith(early) else f"{early}; {why}"
