"""One region of a question, cut to a part, with the clauses that are left there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch

from boundmesh.bounds.sweep.region import Region, region_to
from boundmesh.proof.margins import ChoiceRows
from boundmesh.proof.question import Question


@dataclass(frozen=True)
class Narrowed:
    """One region of a question, cut to a part, with other clauses over the same rows.

    members  the rows of the atoms of each clause that must hold
    choices  the choices of each clause
    region   the cut region, with one domain
    """

    members: tuple[tuple[int, ...], ...]
    choices: tuple[tuple[ChoiceRows, ...], ...]
    region: Region

    def to(self, device: torch.device) -> Narrowed:
        return replace(self, region=region_to(self.region, device))

    def of(self, question: Question, domain: int) -> Question:
        """Return the question about this part of a region."""
        margins = replace(question.margins, members=self.members, choices=self.choices)
        cases = (question.cases[domain],)
        return replace(question, margins=margins, region=self.region, cases=cases)


def multiplied_out(part: Narrowed) -> Narrowed:
    """Return the part with a clause for each combination of alternatives of its only clause."""
    ((required,), (choices,)) = part.members, part.choices
    members = (
        tuple(
            dict.fromkeys([*required, *(row for alternative in combination for row in alternative)])
        )
        for combination in product(*choices)
    )
    return replace(part, members=tuple(dict.fromkeys(members)), choices=())
