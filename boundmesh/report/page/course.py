"""The course of a run, as the pages of one property and of many inputs show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from boundmesh.certify.result import Certification
from boundmesh.report.page.effort import Piece, StageRow, stage_rows, strip
from boundmesh.report.page.memory import Memory, memory, taken
from boundmesh.report.page.stage_memory import StageMemory
from boundmesh.result import Result


@dataclass(frozen=True)
class Course:
    """The course of a run for a page: its seconds, its memory, and what its answer guarantees.

    stages     a row for each stage, with its seconds
    pieces     the stages in their order, as pieces of a strip
    total      the seconds of the whole run
    memory     the memory that was taken, and by what
    guarantee  sentences that tell in which arithmetic the answer holds
    warnings   what the user was warned of
    """

    stages: tuple[StageRow, ...]
    pieces: tuple[Piece, ...]
    total: float
    memory: Memory
    guarantee: tuple[str, ...]
    warnings: tuple[str, ...]


def course_of(
    result: Result | Certification,
    total: float,
    neurons: int,
    stages: StageMemory,
    guarantee: Iterable[str],
    warnings: Iterable[str],
) -> Course:
    """Assemble the course of a run; `neurons` counts those whose bounds were kept."""
    known = taken(result.graph, result.settings, result.peak_bytes, result.device, neurons)
    return Course(
        stages=stage_rows(result.seconds),
        pieces=strip(result.history, result.seconds),
        total=total,
        memory=memory(known, result.history, stages),
        guarantee=tuple(guarantee),
        warnings=tuple(warnings),
    )
