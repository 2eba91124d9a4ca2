"""A climb of α-CROWN ends when it gains nothing any more, and not before."""

from __future__ import annotations

import numpy as np
import torch

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.stalling import Stalling
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Port
from tests.networks import NETWORKS, both_ways, problem, region


def test_a_climb_that_gains_nothing_twice_in_a_row_has_stalled() -> None:
    lower, found = torch.tensor([[-9.0, -9.0]]), []
    stalling = Stalling(lower)
    for gain in (1.0, 0.0, 1e-3, 0.0, 0.0):
        lower = lower + torch.tensor([[gain, 0.0]])
        found.append(stalling.after(lower, torch.ones(1, 2)))
    assert found == [False, False, False, False, True]


def test_a_row_that_does_not_matter_keeps_no_climb_going() -> None:
    lower, weight, found = torch.tensor([[-9.0, -9.0]]), torch.tensor([[1.0, 0.0]]), []
    stalling = Stalling(lower)
    for _ in range(2):
        lower = lower + torch.tensor([[0.0, 1.0]])
        found.append(stalling.after(lower, weight))
    assert found == [False, True]


def test_a_row_without_a_bound_has_stalled_only_while_it_has_none() -> None:
    stalling, found = Stalling(torch.tensor([[-torch.inf]])), []
    for lower in (-torch.inf, -50.0, torch.nan, torch.nan):
        found.append(stalling.after(torch.tensor([[lower]]), torch.ones(1, 1)))
    assert found == [False, False, False, True]


def test_a_climb_that_cannot_be_tighter_than_crown_takes_two_iterations() -> None:
    # A bound of −max(x, 0) needs the line above, which has no slope to choose.
    build = Builder()
    x = build.input((1, 1))
    y = build.add("relu", build.add("linear", x, weights=(np.ones((1, 1)), np.zeros(1))))
    graph = build.graph(y, (Port(x.name, x.shape),), (Port(y.name, y.shape),))
    box = BoxRegion(*(torch.full((1, 1, 1), end, dtype=torch.float64) for end in (-2.0, 1.0)))
    row = DenseRows(torch.full((1, 1, 1, 1), -1.0, dtype=torch.float64))
    assert alpha_crown(problem(graph, box), row).iterations == 2


def test_a_climb_that_gains_runs_all_its_iterations() -> None:
    graph = NETWORKS["mlp"](3)
    task, rows = problem(graph, region(graph, 0.4)), DenseRows(both_ways(graph))
    assert alpha_crown(task, rows, StepSchedule(4)).iterations == 4
