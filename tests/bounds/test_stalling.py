"""A climb of α-CROWN ends when it gains nothing any more, and not before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.stalling import Stalling
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Port
from tests.networks import NETWORKS, both_ways, problem, region


def after(
    bests: list[float], presents: list[float], weight: float = 1.0, steps: int = 20
) -> list[bool]:
    """Return the answers after each iteration of a climb of a row from the first bounds."""
    pairs = zip(bests, presents, strict=True)
    rows = [(torch.tensor([[best]]), torch.tensor([[now]])) for best, now in pairs]
    stalling, ones = Stalling(*rows[0], steps), torch.full((1, 1), weight)
    return [stalling.after(best, now, ones) for best, now in rows[1:]]


def test_a_climb_whose_bounds_stand_still_has_stalled_after_one_iteration() -> None:
    assert after([-1.0, -1.0], [-2.0, -2.0]) == [True]


def test_a_bound_that_is_only_rounded_anew_stands_still() -> None:
    assert after([-1.0, -1.0], [-2.0, -2.0 + 2**-21]) == [True]


def test_a_climb_that_falls_three_times_in_a_row_has_stalled() -> None:
    assert after([-1.0] * 4, [-2.0, -3.0, -4.0, -5.0]) == [False, False, True]


def test_a_climb_that_falls_and_then_rises_to_its_best_bound_goes_on() -> None:
    bests, presents = [-1.0] * 5 + [-0.5], [-2.0, -3.0, -4.0, -3.0, -2.0, -0.5]
    assert after(bests, presents) == [False] * 5


def test_a_climb_that_swings_without_a_gain_has_stalled_after_five_iterations() -> None:
    assert after([-1.0] * 6, [-1.0, -2.0, -1.0, -2.0, -1.0, -2.0]) == [False] * 4 + [True]


def test_a_rise_too_slow_to_reach_the_best_bound_counts_as_a_fall() -> None:
    presents = [-101.0, -100.0, -99.0, -98.0]
    assert after([-1.0] * 4, presents, steps=20) == [False, False, True]
    assert after([-1.0] * 4, presents, steps=200) == [False] * 3


def test_a_gain_keeps_a_climb_going_whatever_the_present_bound_does() -> None:
    assert (
        after([-9.0, -8.0, -8.0, -7.0, -7.0, -7.0], [-9.0, -8.0, -8.5, -7.0, -7.5, -8.0])
        == [False] * 5
    )


def test_a_row_that_does_not_matter_keeps_no_climb_going() -> None:
    assert after([-9.0, -8.0], [-9.0, -8.0], weight=0.0) == [True]


def test_a_row_without_a_bound_has_stalled_only_while_it_has_none() -> None:
    endless = -torch.inf
    assert after([endless, endless], [endless, endless]) == [True]
    assert after([endless, -50.0, -50.0], [endless, -50.0, torch.nan]) == [False, True]


def test_a_climb_that_cannot_be_tighter_than_crown_takes_one_iteration() -> None:
    # A bound of −max(x, 0) needs the line above, which has no slope to choose.
    build = Builder()
    x = build.input((1, 1))
    y = build.add("relu", build.add("linear", x, weights=(np.ones((1, 1)), np.zeros(1))))
    graph = build.graph(y, (Port(x.name, x.shape),), (Port(y.name, y.shape),))
    box = BoxRegion(*(torch.full((1, 1, 1), end, dtype=torch.float64) for end in (-2.0, 1.0)))
    row = DenseRows(torch.full((1, 1, 1, 1), -1.0, dtype=torch.float64))
    assert alpha_crown(problem(graph, box), row).iterations == 1


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_in_a_box_that_is_almost_a_point_no_climb_takes_more_than_a_few_iterations(
    name: str,
) -> None:
    graph = NETWORKS[name](3)
    task, rows = problem(graph, region(graph, 1e-12)), DenseRows(both_ways(graph))
    assert alpha_crown(task, rows).iterations <= 3


def test_a_climb_that_gains_runs_all_its_iterations() -> None:
    graph = NETWORKS["mlp"](3)
    task, rows = problem(graph, region(graph, 0.4)), DenseRows(both_ways(graph))
    assert alpha_crown(task, rows, StepSchedule(4)).iterations == 4
