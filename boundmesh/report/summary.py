"""Sums up a benchmark per family and in all, and compares two runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from boundmesh.report.records import SOLVED, Record

ALL = "all families"


@dataclass(frozen=True)
class Summary:
    """The numbers of one family.

    family     the family's name
    instances  the number of instances selected
    run        the number of instances with a record
    solved     the number of unsat and sat, without wrong ones
    unsat, sat, unknown, timed_out, errors   the number of each verdict
    wrong      the number of verdicts that contradict the expected one
    median     the median of the seconds of the solved; None without any
    mean       the mean of the seconds of the solved; None without any
    total      the sum of the seconds of all
    """

    family: str
    instances: int
    run: int
    solved: int
    unsat: int
    sat: int
    unknown: int
    timed_out: int
    errors: int
    wrong: int
    median: float | None
    mean: float | None
    total: float


def summarize(families: Sequence[str], records: Sequence[Record]) -> list[Summary]:
    """Return one Summary per family, in order of appearance, and one of all families.

    `families` holds the family of every instance selected.
    """
    selected = Counter(families)
    members: dict[str, list[Record]] = {family: [] for family in selected}
    for record in records:
        members[record.family].append(record)
    parts = [_summary(family, selected[family], found) for family, found in members.items()]
    return [*parts, _summary(ALL, len(families), records)]


def _summary(family: str, instances: int, records: Sequence[Record]) -> Summary:
    count = Counter(record.verdict for record in records)
    seconds = [record.seconds for record in records if record.solved]
    return Summary(
        family,
        instances,
        len(records),
        len(seconds),
        count["unsat"],
        count["sat"],
        count["unknown"],
        count["timed-out"],
        count["error"],
        sum(record.wrong for record in records),
        median(seconds) if seconds else None,
        fmean(seconds) if seconds else None,
        math.fsum(record.seconds for record in records),
    )


@dataclass(frozen=True)
class Change:
    """The two records of an instance whose verdict differs between two runs."""

    old: Record
    new: Record

    @property
    def contradiction(self) -> bool:
        """True if one run proved the property and the other one refuted it."""
        return {self.old.verdict, self.new.verdict} == set(SOLVED)


@dataclass(frozen=True)
class Pace:
    """The speed of two runs compared.

    common  the number of instances that are in both runs
    both    the number of these that both runs solved with the same verdict
    old     the seconds that the old run took for these
    new     the seconds that the new run took for these
    ratio   the geometric mean of new seconds over old ones; None without any
    """

    common: int
    both: int
    old: float
    new: float
    ratio: float | None


def compare(old: Sequence[Record], new: Sequence[Record]) -> tuple[list[Change], Pace]:
    """Return the changes among the instances of both runs, in the old run's order, and the pace."""
    before, after = ({record.key: record for record in run} for run in (old, new))
    changes: list[Change] = []
    pairs: list[tuple[float, float]] = []
    common = [(was, after[key]) for key, was in before.items() if key in after]
    for was, now in common:
        if was.verdict != now.verdict:
            changes.append(Change(was, now))
        elif was.verdict in SOLVED:
            pairs.append((was.seconds, now.seconds))
    logs = [math.log(now / was) for was, now in pairs if was > 0 and now > 0]
    return changes, Pace(
        len(common),
        len(pairs),
        math.fsum(was for was, _ in pairs),
        math.fsum(now for _, now in pairs),
        math.exp(fmean(logs)) if logs else None,
    )
