"""Work of every kind looks at the clock often, and ends at its next look after the deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from onnx import helper

import boundmesh
from boundmesh.attack.pgd import Attack
from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.crown import bound_rows, intermediate_bounds
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.forward import tensors
from boundmesh.proof.margin_rows import margins_of
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.agreement import agrees_with_source
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.input_split import InputSplitting
from boundmesh.settings import AttackSettings, BranchSettings
from boundmesh.verdict import TimedOut
from tests.graph.small import network
from tests.networks import DTYPE, conv_net, mlp, problem, region

EARLY = 1e-9


@dataclass
class Looks:
    """Counts looks at a clock, whose deadline passes before one of them."""

    last: int = 10**9
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        if self.done >= self.last:
            raise OutOfTime


def ends_at_every_look(work: Callable[[Looks], object]) -> int:
    """Assert that work ends at a look wherever the deadline lies; return how often it looks."""
    every = Looks()
    work(every)
    for last in {1, 2, every.done // 2, every.done} - {0}:
        looks = Looks(last)
        with pytest.raises(OutOfTime):
            work(looks)
        assert looks.done == last
    return every.done


def outputs(size: int) -> DenseRows:
    eye = torch.eye(size, dtype=DTYPE).reshape(1, size, 1, size)
    return DenseRows(torch.cat([eye, -eye], 1))


def test_a_sweep_looks_at_the_clock_before_every_node() -> None:
    graph = mlp(3, 8, 8, 2)
    task = problem(graph, region(graph, 0.5))

    def work(looks: Looks) -> None:
        watched = replace(task, check=looks)
        found = intermediate_bounds(watched, by_rows=True)
        draw = watched.fixed_lines(found.bounds)
        before = looks.done
        bound_rows(watched, graph.output, outputs(2), draw, None)
        # One wave, whose rows pass the layers, the relus and the input.
        assert looks.done - before == 1 + len(task.program.order(graph.output))

    assert ends_at_every_look(work) > len(graph.nodes)


def test_alpha_crown_looks_at_the_clock_in_every_tile_of_an_iteration() -> None:
    graph = conv_net()
    task = replace(problem(graph, region(graph, 0.5)), tile_elements=2**10)
    size = graph[graph.output].size
    rows = DenseRows(torch.eye(size, dtype=DTYPE).reshape(1, size, *graph[graph.output].shape))

    def looks_of(iterations: int) -> int:
        schedule = StepSchedule(iterations, 0.1, 0.9)
        return ends_at_every_look(
            lambda looks: alpha_crown(replace(task, check=looks), rows, schedule)
        )

    # An iteration sweeps all tiles with gradients, and again without.
    once, twice = looks_of(1), looks_of(2)
    assert twice - once > 2 * len(graph.nodes)


def test_ranks_that_work_in_step_look_between_waves_alone() -> None:
    graph = mlp(3, 8, 8, 2)
    task = problem(graph, region(graph, 0.5))

    class InStep(OneDevice):
        """A layout whose ranks must all look equally often."""

        def __init__(self) -> None:
            super().__init__(graph, "cpu", DTYPE)
            self.looks_between_nodes = False

    looks = Looks()
    watched = replace(task, layout=InStep(), check=looks)
    found = intermediate_bounds(watched, by_rows=True)
    looks.done = 0
    bound_rows(watched, graph.output, outputs(2), watched.fixed_lines(found.bounds), None)
    assert looks.done == 1


def test_the_comparison_with_onnx_runtime_looks_at_the_clock() -> None:
    graph, box = network(), Box(np.full(4, -1.0), np.full(4, 1.0))
    assert ends_at_every_look(lambda looks: agrees_with_source(graph, [box], look=looks)) > len(
        graph.nodes
    )


def clause(bound: float) -> tuple[Clause, ...]:
    """The clause `y₀ ≤ bound`."""
    return (Clause((Atom((), ((0, 1.0),), bound),)),)


def test_an_attack_ends_at_its_first_look_after_the_deadline() -> None:
    graph = network()
    region = Box(np.full(4, -1.0), np.full(4, 1.0))
    property = Property(tuple(Case(region, clause(-1e9)) for _ in range(3)), 4, 3)
    with pytest.raises(OutOfTime):
        Attack(graph, tensors(graph), property, AttackSettings(), Clock(EARLY)).finish()


def test_every_search_ends_at_its_first_look_after_the_deadline() -> None:
    graph = mlp(3, 8, 8, 2)
    box = region(graph, 1.5)
    task, margins = problem(graph, box), margins_of(graph, clause(-1e9))
    offset = margins.bound + margins.slack(torch.ones(2), DTYPE)
    settings, clock = BranchSettings(batch=64), Clock(EARLY)
    task = replace(task, check=clock.check)
    with pytest.raises(OutOfTime):
        InputSplitting(task, margins, offset, settings, clock, lambda points: False).run(box)
    bounds = intermediate_bounds(replace(task, check=lambda: None), by_rows=True).sharpest
    search = ActivationSplitting(
        task, bounds, margins, offset, settings, clock, lambda points: False
    )
    with pytest.raises(OutOfTime):
        search.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE))


def test_a_deadline_before_the_comparison_gives_no_verdict_but_timed_out() -> None:
    graph = network(helper.make_node("Identity", ["s"], ["y"]))
    case = Case(Box(np.full(4, -1.0), np.full(4, 1.0)), clause(-1e9))
    result = boundmesh.verify(graph, Property((case,), 4, 3), timeout=EARLY)
    assert isinstance(result.verdict, TimedOut)
    assert "not yet compared with ONNX Runtime" in str(result.verdict)
