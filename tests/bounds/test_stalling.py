"""A climb of α-CROWN ends when it no longer moves bounds that matter, and not before."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.stalling import Stalling
from boundmesh.bounds.sweep.rows import DenseRows
from tests.networks import NETWORKS, both_ways, problem, region


def of_gains(*gains: list[float], goal: float | None, weight: Tensor | None = None) -> list[bool]:
    """Whether a climb of 10 iterations has stalled after each of the first, with these gains."""
    lower = torch.full((1, len(gains[0])), -100.0)
    stalling = Stalling(lower, 10, None if goal is None else lambda lower: lower.double() - goal)
    weight = torch.ones_like(lower) if weight is None else weight
    found = []
    for gain in gains:
        lower = lower + torch.tensor([gain])
        found.append(stalling.after(lower, weight))
    return found


def test_a_climb_that_gains_little_and_cannot_reach_its_goal_has_stalled() -> None:
    assert of_gains([50.0], [0.1], [0.1], goal=0.0) == [False, False, True]


def test_a_climb_that_can_still_reach_its_goal_has_not_stalled() -> None:
    assert of_gains([99.0], [0.15], [0.1], goal=0.0) == [False, False, False]


def test_rows_that_do_not_count_neither_gain_nor_reach() -> None:
    weight = torch.tensor([[1.0, 0.0]])
    gains = [50.0, 90.0], [0.1, 9.0], [0.1, 9.0]
    assert of_gains(*gains, goal=0.0, weight=weight) == [False, False, True]


def test_without_a_goal_only_a_climb_that_gains_nothing_has_stalled() -> None:
    assert of_gains([50.0], [1e-4], [0.0], [0.0], goal=None) == [False, False, False, True]


def test_a_row_that_was_not_bounded_before_has_not_stalled() -> None:
    stalling = Stalling(torch.tensor([[-torch.inf]]), 10, lambda lower: lower.double())
    weight, found = torch.ones(1, 1), []
    for lower in (-torch.inf, -50.0, -40.0, -39.9, -39.8):
        found.append(stalling.after(torch.tensor([[lower]]), weight))
    assert found == [False, False, False, False, True]


def test_a_climb_whose_goal_is_out_of_reach_ends_early_and_its_bounds_are_the_same() -> None:
    graph = NETWORKS["mlp"](3)
    task, rows = problem(graph, region(graph, 0.4)), DenseRows(both_ways(graph))
    found = alpha_crown(task, rows, StepSchedule(200), beyond=lambda lower: lower - 1e6)
    assert 2 <= found.iterations < 100
    again = alpha_crown(task, rows, StepSchedule(found.iterations))
    assert torch.equal(found.lower, again.lower)
