"""What is recorded on a GPU and replayed computes, bit for bit, what is started step by step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods import alpha, beta_ascent
from boundmesh.bounds.methods.alpha import Climb, StepSchedule, alpha_crown
from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.domain_bounds import DomainParameters
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.cuts import Cuts, cut_values
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.kernels import recorded
from boundmesh.kernels.recorded import RecordedStep, recorded_at_first_call
from tests.host_values import never_waits
from tests.networks import NETWORKS, attention_net, both_ways, divided_net, problem, region

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
DEVICE = torch.device("cuda", 0)
EVERY = {**NETWORKS, "attention": attention_net, "divided": divided_net}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A step that cannot be recorded warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch):
    def switch(on: bool) -> None:
        for module in (alpha, beta_ascent):
            plain = recorded_at_first_call if on else lambda step, device, **how: step
            monkeypatch.setattr(module, "recorded_at_first_call", plain)

    return switch


def gpu_problem(name: str) -> Problem:
    graph = EVERY[name](3)
    box = region(graph, 0.2)
    box = BoxRegion(box.lower.float().to(DEVICE), box.upper.float().to(DEVICE))
    return Problem(Program(graph, graph.output), box, OneDevice(graph, DEVICE))


@pytest.mark.parametrize("name", EVERY)
def test_an_iteration_of_alpha_crown_never_waits_for_a_value(name: str) -> None:
    graph = EVERY[name](3)
    task = problem(graph, region(graph, 0.2))
    climb = Climb(task, DenseRows(both_ways(graph)), StepSchedule())
    assert climb.sloped.below(graph.output)
    climb.prepare(1, torch.ones_like(climb.lower))
    with never_waits():
        climb.iterate()


@needs_gpu
@pytest.mark.parametrize("name", EVERY)
def test_alpha_crown_recorded_is_alpha_crown(name: str, recording) -> None:
    task = gpu_problem(name)
    rows = DenseRows(both_ways(task.program.graph).float().to(DEVICE))
    found = []
    for on in (False, True):
        recording(on)
        optimised = alpha_crown(task, rows, StepSchedule(8))
        ends = [end for box in optimised.bounds.values() for end in (box.lower, box.upper)]
        found.append([optimised.lower, *ends])
    assert all(map(torch.equal, *found))


def divided(task: Problem, domains: int) -> tuple[DomainBounder, DomainParameters, Tensor]:
    """Domains with random splits and cuts, and two random rows for each."""
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    neurons, cuttable = neurons_of(task.program, bounds), cut_values(task.program, bounds)
    bounder = DomainBounder(task, bounds, neurons, None, cuttable)
    like = neurons.lower
    random = torch.Generator(like.device).manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, device=like.device, dtype=like.dtype, generator=random)

    splits = (3 * uniform(domains, neurons.count)).floor().to(torch.int8) - 1
    slots = 3 if cuttable.count else 0
    place = (cuttable.count * uniform(domains, slots)).int()
    point = torch.lerp(cuttable.lower[place], cuttable.upper[place], uniform(domains, slots))
    cuts = Cuts(place, (3 * uniform(domains, slots)).floor().to(torch.int8) - 1, point)
    alpha_there = uniform(domains, 2, neurons.count)
    beta = torch.zeros_like(uniform(domains, 2, neurons.count + slots))
    start = DomainParameters(alpha_there, beta, splits, cuts=cuts if slots else None)
    shape = task.program.graph[task.program.target].shape
    return bounder, start, 2 * uniform(domains, 2, *shape) - 1


@pytest.mark.parametrize("name", EVERY)
def test_a_step_of_domains_never_waits_for_a_value(name: str) -> None:
    graph = EVERY[name](3)
    bounder, start, rows = divided(problem(graph, region(graph, 0.2)), 7)
    batch = beta_ascent.Batch(bounder, rows, rows.new_zeros(7, 2), start)
    batch.prepare(Ascent(12), 1)
    batch.rise()
    with never_waits():
        batch.rise()


@needs_gpu
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("domains", [1, 300])
def test_a_climb_of_domains_recorded_is_that_climb(name: str, domains: int, recording) -> None:
    bounder, start, rows = divided(gpu_problem(name), domains)
    # A third of the domains is proved at once.
    offset = torch.arange(domains, device=DEVICE).float()[:, None] % 3 * -100 + 50
    offset = offset.expand(-1, 2)
    found: list[list[Tensor]] = []
    for on in (False, True):
        recording(on)
        best = beta_ascent.climb(bounder, rows, offset, start, Ascent(12), lambda: None)
        found.append([best.margin, best.parameters.alpha, best.parameters.beta, best.constants])
    assert all(map(torch.equal, *found))


def test_a_step_that_cannot_be_recorded_is_taken_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        broken = False

        def record(self, step: object) -> None:
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(recorded, "recorder_of", lambda device: Failing())
    taken: list[int] = []
    step = RecordedStep(lambda: taken.append(1), torch.device("cpu"))
    with pytest.warns(RuntimeWarning, match="not recorded: operation not permitted"):
        step()
    step()
    assert taken == [1, 1]


@needs_gpu
def test_after_a_step_that_waits_for_a_value_the_gpu_works_as_before() -> None:
    value = torch.ones(3, device=DEVICE)

    def waits() -> None:
        value.add_(float(value.sum()))

    step = RecordedStep(waits, DEVICE)
    with pytest.warns(RuntimeWarning, match="not recorded"):
        step()
    assert value.tolist() == [4.0, 4.0, 4.0]
    assert torch.rand(4, device=DEVICE).isfinite().all()
    doubled = RecordedStep(lambda: value.mul_(2), DEVICE)
    doubled()
    doubled()
    assert value.tolist() == [16.0, 16.0, 16.0]


def test_steps_off_a_gpu_are_taken_as_they_are() -> None:
    taken = []
    step = recorded_at_first_call(lambda: taken.append(1), torch.device("cpu"), recordable=True)
    step()
    assert taken == [1] and not isinstance(step, RecordedStep)
