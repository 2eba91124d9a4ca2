"""Lets the groups beside the first one take part in its searches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import torch

from boundmesh.proof.question import Question
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.progress import Progress
from boundmesh.search.parallel.groups import Groups, Meetings
from boundmesh.search.searching import LookInCase, region_of, search_of
from boundmesh.search.task import Task, moved
from boundmesh.settings import BoundSettings, BranchSettings


def assist(
    questions: Callable[[torch.dtype], Sequence[Question]],
    bounds: BoundSettings,
    settings: BranchSettings,
    progress: Progress,
    look: LookInCase,
    groups: Groups,
) -> object:
    """Take part in every search that the first group starts; return its final message.

    `questions` returns the questions in the arithmetic that is given.
    """
    while isinstance(task := groups.broadcast_object(None), Task):
        clock, meetings = Clock(task.seconds, progress), Meetings(groups)
        clock.agree = groups.agree
        # An error stops this search in all groups. The first group then sends its outcome.
        with suppress(Exception, KeyboardInterrupt), meetings.ending_all():
            standing, domain = task.standing(questions)
            problem = standing.question.problem(region_of(standing.question, domain), bounds, clock)
            known = moved(task.bounds, problem.layout.device)
            search_of(standing, domain, problem, known, settings, clock, look, meetings).run()
    return task
