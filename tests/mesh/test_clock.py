"""The first rank's clock alone decides, however far the others' clocks are from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.mesh.runtime.domain_groups import DomainGroups
from boundmesh.mesh.runtime.group import Group
from boundmesh.proof.ladder import climb
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.search.decide import branch
from boundmesh.settings import BoundSettings, BranchSettings
from tests.mesh.ranks import Ranks
from tests.mesh.searches import Asked, mesh_of

Start = Callable[[int], Ranks]
ENDLESS = Asked("neurons", (4, 20, 20, 2), 0, 3.0, 1e6)
"""What no search decides."""


def skewed(group: Group, timeouts: Sequence[float], starts: Sequence[float]) -> Clock:
    """A clock that began so many seconds ago, with a timeout of this rank's own."""
    begun = time.monotonic() - starts[group.rank]
    clock = Clock(timeouts[group.rank], begun=begun)
    clock.agree = group.agree
    return clock


def ended(
    group: Group, asked: Asked, timeouts: Sequence[float], starts: Sequence[float]
) -> tuple[str, int, int]:
    """How a run on shards ends, the domains it bounded, and the collectives of this rank."""
    mesh = mesh_of(1, group.size)
    groups, clock = DomainGroups(mesh), skewed(mesh.shards, timeouts, starts)
    before = mesh.shards.calls.copy()
    question = Question(asked.margins, asked.box, (0,), asked.slack, asked.layout(mesh))
    standing, bounds = Standing.at_start(question), BoundSettings(iterations=3)
    splitting = BranchSettings("input" if asked.kind == "input" else "fsb", batch=asked.batch)
    how = "decided"
    try:
        climb(standing, bounds, clock)
        branch(standing, bounds, splitting, clock, lambda case, points: None, groups)
    except OutOfTime:
        how = "out of time"
    calls = mesh.shards.calls - before
    return how, sum(search.visited for search in standing.searches), calls.total()


def read(
    group: Group, timeouts: Sequence[float], starts: Sequence[float]
) -> tuple[float, float, bool]:
    """What a rank's clock shows: seconds spent, seconds left, and whether they are up."""
    clock = skewed(group, timeouts, starts)
    spent, left = clock.spent, clock.left
    try:
        clock.check()
    except OutOfTime:
        return spent, left, True
    return spent, left, False


@pytest.mark.parametrize(
    ("kind", "timeouts", "starts"),
    [
        ("neurons", [1.0, 0.2], [0.0, 0.0]),
        ("input", [1.0, 0.2], [0.0, 0.0]),
        ("neurons", [1.0, 60.0], [0.0, 0.0]),
        ("input", [2.0, 2.0], [1.0, 1.9]),
        ("neurons", [1.0, 1e-3], [0.0, 100.0]),
    ],
    ids=["sooner", "sooner by inputs", "later", "a late start", "over at once"],
)
def test_ranks_whose_clocks_differ_end_together(
    start_ranks: Start, kind: str, timeouts: list[float], starts: list[float]
) -> None:
    asked = replace(ENDLESS, kind=kind)
    first, second = start_ranks(2).run(ended, asked, timeouts, starts)
    assert first == second
    how, visited, _ = first
    assert how == "out of time" and visited > 0


def test_a_rank_whose_time_is_up_goes_on_while_the_first_rank_has_some(start_ranks: Start) -> None:
    asked = Asked("neurons", (3, 12, 12, 2), 3, 2.0, -1.31)
    said = start_ranks(2).run(ended, asked, [60.0, 1e-3], [0.0, 1.0])
    assert said[0] == said[1] and said[0][0] == "decided"


@pytest.mark.parametrize(("timeouts", "starts"), [([9.0, 1.0], [0.0, 5.0]), ([1.0, 9.0], [2.0, 0])])
def test_every_rank_reads_the_first_ones_clock(
    start_ranks: Start, timeouts: list[float], starts: list[float]
) -> None:
    first, second = start_ranks(2).run(read, timeouts, starts)
    assert first == second
    spent, left, over = first
    assert spent == pytest.approx(starts[0], abs=0.9)
    assert left == pytest.approx(timeouts[0] - starts[0], abs=0.9)
    assert over == (timeouts[0] < starts[0])


@given(st.floats(0.001, 1e6), st.floats(0, 1e6))
def test_one_rank_is_out_of_time_exactly_when_none_is_left(timeout: float, ago: float) -> None:
    clock = Clock(timeout, begun=time.monotonic() - ago)
    before = clock.left
    try:
        clock.check()
        assert before > 0
    except OutOfTime:
        assert clock.left <= 0
    assert Clock(begun=time.monotonic() - ago).left == float("inf")


def test_seconds_of_a_stage_entered_twice_are_added() -> None:
    clock = Clock()
    for _ in range(2):
        with clock.stage("bound"):
            torch.zeros(1)
    assert set(clock.seconds) == {"bound"} and clock.seconds["bound"] > 0
