"""Branch and bound: partitions cover, bounds only rise, verdicts agree with enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent, climb
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.domain_bounds import DomainParameters
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.graph.forward import tensors, values
from boundmesh.proof.margin_rows import margins_of
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.domain import Domains, root, split
from boundmesh.search.frontier import Frontier
from boundmesh.search.input_boxes import BoundedBoxes, halve
from boundmesh.search.input_split import InputSplitting
from boundmesh.settings import BranchSettings
from tests.bounds.test_exact import exact_minimum
from tests.networks import DTYPE, conv_net, mlp, problem, region, resnet, sampled

NETS = {"mlp": lambda: mlp(3, 8, 8, 2, seed=1), "conv": conv_net, "resnet": resnet}


def atom(bound: float) -> tuple[Clause, ...]:
    """The clause `y₀ − y₁ ≤ bound`."""
    return (Clause((Atom((), ((0, 1.0), (1, -1.0)), bound),)),)


def searcher(kind, graph, box, clauses, seen=lambda points: False):
    task, margins, clock = problem(graph, box), margins_of(graph, clauses), Clock(60)
    settings = BranchSettings(batch=64)
    offset = margins.bound + margins.slack(torch.ones(margins.coefficients.shape[1]), DTYPE)
    if kind == "input":
        return InputSplitting(task, margins, offset, settings, clock, seen)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    return ActivationSplitting(task, bounds, margins, offset, settings, clock, seen)


def run(kind, search, box):
    if kind == "input":
        return search.run(box)
    return search.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE))


@pytest.mark.parametrize("kind", ["input", "neurons"])
@pytest.mark.parametrize("seed", range(8))
def test_search_proves_what_enumeration_proves_and_nothing_else(kind, seed):
    graph = mlp(2, 6, 2, seed=seed)
    box = region(graph, 1.5, seed)
    truth = exact_minimum(
        graph, np.array([1.0, -1.0]), box.lower.numpy().ravel(), box.upper.numpy().ravel()
    )
    found = run(kind, searcher(kind, graph, box, atom(truth - 1e-2)), box)
    assert found.stuck == 0 and found.proved > 0

    def beyond(points: torch.Tensor) -> bool:
        y = values(graph, tensors(graph, DTYPE), points)[graph.output].flatten(1)
        return bool((y[:, 0] - y[:, 1] <= truth + 1e-2).any())

    false = run(kind, searcher(kind, graph, box, atom(truth + 1e-2), beyond), box)
    assert false.found or false.stuck > 0


@pytest.mark.parametrize("kind", ["input", "neurons"])
@pytest.mark.parametrize("seed", range(4))
def test_a_planted_counterexample_is_never_refuted(kind, seed):
    graph = mlp(3, 10, 10, 2, seed=seed)
    box = region(graph, 1.0, seed)
    _, y = sampled(graph, box, 2000)
    worst = float((y[0, :, 0, 0] - y[0, :, 0, 1]).min())
    search: Any = searcher(
        kind, graph, box, atom(worst), lambda points: search.search.visited > 600
    )
    found = run(kind, search, box)
    assert found.found or found.stuck > 0


@pytest.mark.parametrize("seed", range(6))
def test_a_point_at_which_several_atoms_just_hold_is_never_cut_off(seed):
    graph = mlp(3, 10, 10, 2, seed=seed)
    box = region(graph, 1.0, seed)
    _, y = sampled(graph, box, 2000)
    outputs = y[0, :, 0]
    point = outputs[outputs.sum(1).argmin()]
    both = tuple(Atom((), ((k, 1.0),), float(point[k])) for k in range(2))
    search = searcher("input", graph, box, (Clause(both),), lambda points: visited() > 3000)

    def visited() -> int:
        return search.search.visited

    found = run("input", search, box)
    assert found.found or found.stuck > 0


def test_atoms_that_exclude_one_another_are_refuted_with_a_finite_margin():
    graph = mlp(2, 4, 2, seed=0)
    box = region(graph, 1.0)
    atoms = (Atom((), ((0, 1.0),), -0.1), Atom((), ((0, -1.0),), -0.1))
    found = run("input", searcher("input", graph, box, (Clause(atoms),)), box)
    assert not found.found and found.stuck == 0
    assert 0 < found.proved < float("inf")


def test_a_flat_input_is_halved_once_the_steep_one_is_thin():
    graph = mlp(2, 4, 2, seed=0)
    search = searcher("input", graph, region(graph, 1.0), atom(0.0))
    lower, upper = torch.zeros(1, 1, 2, dtype=DTYPE), torch.tensor([[[1e-3, 1.0]]], dtype=DTYPE)
    rows = torch.tensor([[[[1.0, 0.0]]]], dtype=DTYPE)
    nothing = torch.zeros(1, 1, dtype=DTYPE)
    found = BoundedBoxes(BoxRegion(lower, upper), rows, nothing, nothing, nothing, nothing)
    assert search._cost(found, torch.tensor([[True]])).argmax(1) == 1


@pytest.mark.parametrize("name", NETS)
def test_child_bounds_are_never_below_the_parents(name):
    graph = NETS[name]()
    box = region(graph, 0.5)
    search = searcher("neurons", graph, box, atom(50.0))
    neurons = search.bounder.neurons
    parents = root(
        neurons, torch.zeros(3, dtype=torch.long), torch.full((3,), -1e9, dtype=DTYPE), 1
    )
    for _ in range(3):
        bounded = search._quick(parents)
        place = torch.randint(0, neurons.count, (len(parents), 1))
        children = split(parents, place, bounded.coefficients)
        child = search._quick(children).margin.reshape(2, -1)
        unsplit = (parents.splits.gather(1, place) == 0).squeeze(1)
        # Up to the 16 bits in which α and β are kept.
        assert (child[:, unsplit] >= bounded.margin[unsplit] - 0.02).all()
        parents = children


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_any_alpha_and_beta_bound_every_point_of_a_domain(name, beta):
    graph = NETS[name]()
    box = region(graph, 0.6)
    task = problem(graph, box)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    neurons = neurons_of(task.program, bounds)
    bounder = DomainBounder(task, bounds, neurons)
    x, y = sampled(graph, box, 3000)
    seen = values(graph, tensors(graph, DTYPE), x[0])
    pre = torch.cat(
        [
            seen[node.inputs[0]].flatten(1)[:, neurons.unstable[node.name].index]
            for node in task.program.nonlinear
        ],
        dim=1,
    )
    generator = torch.Generator().manual_seed(0)
    # The signs of some sampled point at a few neurons: its domain is not empty.
    chosen = torch.randint(0, len(pre), (20,), generator=generator)
    mask = torch.rand(20, neurons.count, generator=generator) < 0.3
    splits = (torch.where(pre[chosen] >= 0, 1, -1) * mask).to(torch.int8)
    alpha = torch.rand(20, 1, neurons.count, dtype=DTYPE, generator=generator)
    rows = torch.randn(20, 1, *graph[graph.output].shape, dtype=DTYPE, generator=generator)
    offset = torch.zeros(20, 1, dtype=DTYPE)
    multipliers = beta * torch.rand(alpha.shape, dtype=DTYPE, generator=generator)
    found = bounder.bound(rows, offset, DomainParameters(alpha, multipliers, splits))
    better = climb(
        bounder, rows, offset, DomainParameters(alpha, multipliers, splits), Ascent(5), lambda: None
    )
    for domain in range(20):
        inside = ((splits[domain] * pre) >= 0).all(1)
        lowest = (y[0][inside].flatten(1) @ rows[domain, 0].flatten()).min()
        assert lowest >= found.margin[domain] - 1e-9
        assert lowest >= better.margin[domain] - 1e-6
        assert better.margin[domain] >= found.margin[domain] - 1e-6


def test_halves_of_boxes_cover_them_and_share_only_faces():
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(5, 1, 4, generator=generator)
    upper = lower + torch.rand(5, 1, 4, generator=generator)
    halves = halve(BoxRegion(lower, upper), torch.tensor([0, 2, 3, 1, 2]))
    below, above = halves.lower, halves.upper
    points = lower + torch.rand(200, 5, 1, 4, generator=generator) * (upper - lower)
    for domain in range(5):
        parts = slice(domain, None, 5)
        inside = (points[:, domain, None] >= below[parts]) & (
            points[:, domain, None] <= above[parts]
        )
        assert inside.flatten(2).all(2).any(1).all()
    volume = (above - below).flatten(1).prod(1).reshape(-1, 5).sum(0)
    assert torch.allclose(volume, (upper - lower).flatten(1).prod(1))


def test_children_of_a_split_have_every_combination_of_signs():
    graph = mlp(3, 16, 16, 2, seed=1)
    box = region(graph, 3.0)
    search = searcher("neurons", graph, box, atom(0.0))
    assert search.bounder.neurons.count > 5
    two = root(search.bounder.neurons, torch.tensor([0, 0]), torch.zeros(2, dtype=DTYPE), 1)
    children = split(two, torch.tensor([[0, 1, 2], [2, 3, 4]]), torch.zeros(2, 1, 1))
    for domain, places in ((0, [0, 1, 2]), (1, [2, 3, 4])):
        signs = children.splits[domain::2][:, places].tolist()
        assert len({tuple(row) for row in signs}) == 8
        assert not children.splits[domain::2].sum(0)[5:].any()


def test_frontier_gives_the_worst_first_and_loses_none():
    frontier: Frontier[Domains] = Frontier()
    margins = torch.tensor([-1.0, -5.0, -3.0, -2.0, -4.0], dtype=DTYPE)

    def domains(values: torch.Tensor) -> Domains:
        empty = torch.zeros(len(values), 1, 0, dtype=torch.float16)
        nothing = torch.zeros(len(values), 0)
        box = (nothing, nothing)
        return Domains(values, values.long(), nothing, empty, empty, *box, *(nothing,) * 3)

    frontier.push(domains(margins[:2]))
    frontier.push(domains(margins[2:]))
    assert frontier.worst == -5.0
    first = frontier.pop(2)
    assert sorted(first.margin.tolist()) == [-5.0, -4.0]
    assert sorted(frontier.pop(10).margin.tolist()) == [-3.0, -2.0, -1.0]
    assert len(frontier) == 0
