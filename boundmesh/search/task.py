"""Defines what the first group sends to all others when a search of one region begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.operators.interval import Interval
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.search.narrowed import Narrowed

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Task:
    """A search that the first group starts in all groups: one region of one question.

    question  the number of the question, from 0
    dtype     the arithmetic in which it is searched
    domain    the number of the region in the question, from 0
    part      the part of the region and of the clauses that is searched; None for all
    rows      `[S]`: the best margins of the rows so far
    settled   `[clauses]`: True where exact arithmetic refuted the clause
    slack     `[S]`: the question's slack
    bounds    the bounds of the start nodes
    seconds   how long the search may take
    """

    question: int
    dtype: torch.dtype
    domain: int
    part: Narrowed | None
    rows: Tensor
    settled: Tensor
    slack: Tensor
    bounds: dict[str, Interval]
    seconds: float

    def standing(
        self, questions: Callable[[torch.dtype], Sequence[Question]]
    ) -> tuple[Standing, int]:
        """Return how far the proof is where the task was sent, and the number of the region there.

        `questions` returns the questions in the arithmetic that is given.
        """
        question, domain = questions(self.dtype)[self.question], self.domain
        question = replace(question, slack=self.slack)
        if self.part is not None:
            part = self.part.to(question.layout.device)
            question, domain = part.of(question, domain), 0
        standing = Standing.at_start(question)
        standing.rows[domain], standing.settled[domain] = self.rows, self.settled
        return standing, domain


def task_of(
    standing: Standing,
    domain: int,
    known: Mapping[str, Interval],
    seconds: float,
    question: int,
    part: tuple[int, Narrowed] | None,
) -> Task:
    """Return the task to search a region of `standing`, with all tensors on the CPU.

    `known` are the bounds of the start nodes, and `question` is the number of the question. Where
    `standing` is about a part of a region, `part` is that region's number and the part.
    """
    whole, narrowed = part or (domain, None)
    return Task(
        question,
        standing.question.layout.dtype,
        whole,
        None if narrowed is None else narrowed.to(CPU),
        standing.rows[domain].clone(),
        standing.settled[domain],
        standing.question.slack,
        moved(known, CPU),
        seconds,
    )


def moved(bounds: Mapping[str, Interval], device: torch.device) -> dict[str, Interval]:
    """Return bounds of start nodes on a device."""
    return {name: box.to(device) for name, box in bounds.items()}
