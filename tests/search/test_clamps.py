"""Neurons that bend elsewhere than at zero are split where they bend."""

from __future__ import annotations

import pytest
import torch

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent, climb
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.domain_bounds import DomainParameters
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.graph.forward import tensors, values
from boundmesh.graph.graph import Graph
from boundmesh.proof.margin_rows import margins_of
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.domain import root, split
from boundmesh.settings import BranchSettings
from tests.networks import DTYPE, clipped_net, problem, region, sampled


@pytest.mark.parametrize("each", [False, True], ids=["one-limit", "limits-of-their-own"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_any_alpha_and_beta_bound_every_point_of_a_domain(each, beta):
    graph = clipped_net(3, each)
    box = region(graph, 1.0)
    task = problem(graph, box)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    neurons = neurons_of(task.program, bounds)
    assert neurons.concave.any() and not neurons.concave.all()
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
    chosen = torch.randint(0, len(pre), (20,), generator=generator)
    mask = torch.rand(20, neurons.count, generator=generator) < 0.3
    above = pre - neurons.split_points
    splits = (torch.where(above[chosen] >= 0, 1, -1) * mask).to(torch.int8)
    alpha = torch.rand(20, 1, neurons.count, dtype=DTYPE, generator=generator)
    rows = torch.randn(20, 1, *graph[graph.output].shape, dtype=DTYPE, generator=generator)
    offset = torch.zeros(20, 1, dtype=DTYPE)
    multipliers = beta * torch.rand(alpha.shape, dtype=DTYPE, generator=generator)
    given = DomainParameters(alpha, multipliers, splits)
    found = bounder.bound(rows, offset, given)
    better = climb(bounder, rows, offset, given, Ascent(5), lambda: None)
    for domain in range(20):
        inside = ((splits[domain] * above) >= 0).all(1)
        lowest = (y[0][inside].flatten(1) @ rows[domain, 0].flatten()).min()
        assert lowest >= found.margin[domain] - 1e-9
        assert lowest >= better.margin[domain] - 1e-6


def searcher(graph: Graph, box, bound: float, branching: str, seen=lambda points: False):
    clauses = (Clause((Atom((), ((0, 1.0), (1, -1.0)), bound),)),)
    task, margins = problem(graph, box), margins_of(graph, clauses)
    settings = BranchSettings(batch=64, branching=branching)
    offset = margins.bound + margins.slack(torch.ones(margins.coefficients.shape[1]), DTYPE)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    return ActivationSplitting(task, bounds, margins, offset, settings, Clock(60), seen)


def run(search: ActivationSplitting):
    return search.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE))


def least_of_samples(graph: Graph, box) -> float:
    _, y = sampled(graph, box, 20000)
    return float((y[0, :, 0, 0] - y[0, :, 0, 1]).min())


@pytest.mark.parametrize("branching", ["babsr", "fsb"])
@pytest.mark.parametrize("each", [False, True], ids=["one-limit", "limits-of-their-own"])
def test_what_lies_below_every_sample_is_proved_by_splits(each, branching):
    graph = clipped_net(0, each)
    box = region(graph, 0.5)
    found = run(searcher(graph, box, least_of_samples(graph, box) - 0.05, branching))
    assert found.stuck == 0 and found.open == 0 and found.proved > 0
    assert found.visited > 1


@pytest.mark.parametrize("each", [False, True], ids=["one-limit", "limits-of-their-own"])
def test_what_a_sample_reaches_is_never_proved(each):
    graph = clipped_net(0, each)
    box = region(graph, 0.2)
    search = searcher(
        graph, box, least_of_samples(graph, box), "babsr", lambda points: visited() > 10
    )

    def visited() -> int:
        return search.search.visited

    found = run(search)
    assert found.found or found.stuck > 0


@pytest.mark.parametrize("each", [False, True], ids=["one-limit", "limits-of-their-own"])
def test_children_that_lose_a_line_of_free_slope_begin_with_the_bound_of_their_parent(each):
    graph = clipped_net(1, each)
    search = searcher(graph, region(graph, 0.7), 50.0, "babsr")
    neurons = search.bounder.neurons
    margins = torch.full((3,), -1e9, dtype=DTYPE)
    parents = root(neurons, torch.zeros(3, dtype=torch.long), margins, 1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        bounded = search._quick(parents)
        place = torch.randint(0, neurons.count, (len(parents), 1), generator=generator)
        children = split(parents, place, bounded.coefficients, neurons.concave)
        child = search._quick(children).margin.reshape(2, -1)
        box_of_y = torch.where(neurons.concave, -bounded.coefficients, bounded.coefficients)
        free = box_of_y.expand(len(parents), -1, -1)[:, 0].gather(1, place) >= 0
        unsplit = (free & (parents.splits.gather(1, place) == 0)).squeeze(1)
        # Up to the 16 bits in which α and β are kept.
        assert (child[:, unsplit] >= bounded.margin[unsplit] - 0.02).all()
        parents = children
