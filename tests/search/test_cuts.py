"""Cuts of smooth, multiplied and jumping values: sound at every β, decided as by enumeration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent, climb
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.domain_bounds import DomainParameters
from boundmesh.bounds.relaxation.cuts import Cuts, CutValues, cut_values
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors, values
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.proof.margin_rows import margins_of
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.domain import root, split
from boundmesh.settings import BranchSettings
from tests.networks import DTYPE, attention_net, finished, mlp, problem, region, sampled


def products(inputs: int = 3, seed: int = 0) -> Graph:
    """A sum of products of tanh and affine values, of a value with itself, and a softmax."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, inputs))

    def layer(x, out: int):
        weights = rng.normal(size=(out, x.shape[1])) / np.sqrt(x.shape[1]), rng.normal(size=out) / 4
        return build.add("linear", x, weights=weights)

    a, b = layer(x, 4), layer(x, 4)
    shares = build.add("softmax", layer(a, 4), axis=1)
    p = build.add("multiply", build.add("tanh", a), b)
    p = build.add("add", build.add("add", p, build.add("multiply", b, b)), shares)
    y = layer(p, 2)
    return finished(build, y)


NETS: dict[str, Callable[[], Graph]] = {
    "tanh": lambda: mlp(3, 6, 6, 2, seed=1, activation="tanh"),
    "sin": lambda: mlp(3, 6, 6, 2, seed=2, activation="sin"),
    "gelu": lambda: mlp(3, 6, 6, 2, seed=3, activation="gelu"),
    "floor": lambda: mlp(2, 6, 2, seed=4, activation="floor"),
    "products": products,
    # The result of a product of matrices is smaller than what it reads.
    "attention": attention_net,
}


def bounder_of(graph: Graph, box: BoxRegion) -> tuple[DomainBounder, CutValues]:
    task = problem(graph, box)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    cuttable = cut_values(task.program, bounds)
    return DomainBounder(task, bounds, neurons_of(task.program, bounds), None, cuttable), cuttable


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_any_alpha_and_beta_bound_every_point_of_a_domain(name: str, beta: float) -> None:
    graph = NETS[name]()
    box = region(graph, 0.8)
    bounder, cuttable = bounder_of(graph, box)
    x, y = sampled(graph, box, 3000)
    seen = values(graph, tensors(graph, DTYPE), x[0])
    cut = torch.cat([seen[start].flatten(1) for start in cuttable.columns], dim=1)
    generator = torch.Generator().manual_seed(0)
    domains, slots = 20, 6
    # Cuts whose conditions hold at a sampled point, so that the domain is not empty.
    own = cut[torch.randint(0, len(cut), (domains,), generator=generator)]
    place = torch.randint(0, cuttable.count, (domains, slots), generator=generator)
    share = torch.rand(domains, slots, dtype=DTYPE, generator=generator)
    point = cuttable.lower[place] + share * (cuttable.upper - cuttable.lower)[place]
    sign = torch.where(own.gather(1, place) >= point, 1, -1).to(torch.int8)
    sign[:, -1] = 0
    shape = (domains, 1, bounder.neurons.count)
    alpha = torch.rand(shape, dtype=DTYPE, generator=generator)
    multipliers = beta * torch.rand(domains, 1, slots, dtype=DTYPE, generator=generator)
    multipliers = torch.cat([torch.zeros(shape, dtype=DTYPE), multipliers], dim=2)
    given = DomainParameters(
        alpha,
        multipliers,
        torch.zeros(domains, shape[2], dtype=torch.int8),
        cuts=Cuts(place.int(), sign, point),
    )
    rows = torch.randn(domains, 1, 1, graph[graph.output].size, dtype=DTYPE, generator=generator)
    offset = torch.zeros(domains, 1, dtype=DTYPE)
    found = bounder.bound(rows, offset, given)
    better = climb(bounder, rows, offset, given, Ascent(5), lambda: None)
    for domain in range(domains):
        away = (cut[:, place[domain]] - point[domain]) * sign[domain]
        lowest = (y[0][(away >= 0).all(1)].flatten(1) @ rows[domain, 0].flatten()).min()
        assert lowest >= found.margin[domain] - 1e-9
        assert lowest >= better.margin[domain] - 1e-6


@pytest.mark.parametrize("name", ["tanh", "gelu", "products"])
def test_multipliers_make_bounds_of_cut_domains_tighter(name: str) -> None:
    graph = NETS[name]()
    box = region(graph, 0.8)
    bounder, cuttable = bounder_of(graph, box)
    # The first domain has the upper halves of some values, the second the lower ones.
    start = next(
        n
        for n in cuttable.columns
        if bool((bounder.bounds[n].lower < bounder.bounds[n].upper).all())
    )
    place = torch.arange(cuttable.count)[cuttable.columns[start]][:4].repeat(2, 1)
    point = (cuttable.lower + cuttable.upper)[place] / 2
    sign = torch.tensor([[1], [-1]], dtype=torch.int8).expand(2, 4)
    count = bounder.neurons.count
    alpha = bounder.neurons.initial.to(DTYPE).reshape(1, 1, count).repeat(2, 1, 1)
    none = torch.zeros(2, count, dtype=torch.int8)
    beta = torch.zeros(2, 1, count + 4, dtype=DTYPE)
    given = DomainParameters(alpha, beta, none, cuts=Cuts(place.int(), sign, point))
    rows = torch.tensor([1.0, -1.0], dtype=DTYPE).reshape(1, 1, 1, 2).repeat(2, 1, 1, 1)
    offset, ascent = torch.zeros(2, 1, dtype=DTYPE), Ascent(40, beta_rate=0.1)
    better = climb(bounder, rows, offset, given, ascent, lambda: None)
    lines = climb(bounder, rows, offset, given, replace(ascent, beta_rate=0.0), lambda: None)
    assert (better.margin >= lines.margin).all() and better.margin.sum() > lines.margin.sum()


def test_children_of_cuts_cover_their_parent_and_narrow_it() -> None:
    bounder, cuttable = bounder_of(NETS["tanh"](), region(NETS["tanh"](), 0.8))
    clauses, margins = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=DTYPE)
    parents = root(bounder.neurons, clauses, margins, 1, None, cuttable.slots)
    count, value = bounder.neurons.count, 2
    blank = torch.zeros(1, 1, count)
    for _ in range(3):
        ranges = cuttable.ranges(parents.cuts)
        points = (ranges.lower + ranges.upper) / 2
        chosen = torch.full((len(parents), 1), count + value)
        children = split(parents, chosen, blank[:1].expand(len(parents), 1, -1), None, points)
        found = cuttable.ranges(children.cuts)
        above, below = (
            found.take(torch.arange(len(parents))),
            found.take(torch.arange(len(parents), 2 * len(parents))),
        )
        assert (above.lower[:, value] == points[:, value]).all()
        assert (below.upper[:, value] == points[:, value]).all()
        assert (above.upper == ranges.upper).all() and (below.lower == ranges.lower).all()
        # A value that is cut again needs no further room on the same side.
        assert (children.sign != 0).sum(1).max() <= 2
        assert not children.splits.any()
        parents = children


def searched(
    graph: Graph, box: BoxRegion, bound: float, seen: Callable[[Tensor], bool], seconds: float = 60
) -> ActivationSplitting:
    """Search for points with `y₀ − y₁ ≤ bound` by cuts alone, until the end or an open answer."""
    clause = Clause((Atom((), ((0, 1.0), (1, -1.0)), bound),))
    task, margins = problem(graph, box), margins_of(graph, (clause,))
    offset = margins.bound + margins.slack(torch.ones(2, dtype=DTYPE), DTYPE)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    search = ActivationSplitting(
        task, bounds, margins, offset, BranchSettings(branching="fsb"), Clock(seconds), seen
    )
    search.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE), 500)
    return search


def minimum(graph: Graph, box: BoxRegion) -> tuple[float, float]:
    """Bounds of the least `y₀ − y₁` over a box of one input, by intervals on 20 000 pieces."""
    ends = torch.linspace(float(box.lower.min()), float(box.upper.max()), 20001, dtype=DTYPE)
    low, high = (each.reshape(-1, *box.lower.shape[1:]) for each in (ends[:-1], ends[1:]))
    boxes = {graph.input: Interval(low, high)}
    weights = tensors(graph, DTYPE)
    for node in graph.nodes:
        if not node.is_input:
            own = [weights[name] for name in node.weights]
            inputs = [boxes[name] for name in node.inputs]
            boxes[node.name] = RULES[node.op].interval(node, own, *inputs)
    y = boxes[graph.output]
    least = (y.lower[..., 0] - y.upper[..., 1]).min()
    points = forward(graph, weights, low)
    return float(least), float((points[..., 0] - points[..., 1]).min())


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu", "sin", "floor"])
@pytest.mark.parametrize("seed", range(2))
def test_cuts_prove_what_fine_intervals_prove_and_nothing_else(activation: str, seed: int) -> None:
    graph = mlp(1, 5, 2, seed=seed, activation=activation)
    box = region(graph, 1.0, seed)
    low, high = minimum(graph, box)
    proved = searched(graph, box, low - 0.05, lambda points: False).shared.whole
    assert not proved.open and not proved.stuck and proved.proved > 0
    false = searched(graph, box, high + 1e-3, lambda points: False).shared.whole
    assert false.open or false.stuck


def descended(graph: Graph, box: BoxRegion) -> float:
    """The least `y₀ − y₁` that descent finds from 32 points."""
    weights, radius = tensors(graph, DTYPE), (box.upper - box.lower) / 2
    x = sampled(graph, box, 32)[0][0]
    lowest = float("inf")
    for step in range(100):
        x = x.detach().requires_grad_()
        y = forward(graph, weights, x).flatten(1)
        away = y[:, 0] - y[:, 1]
        lowest = min(lowest, float(away.detach().min()))
        (gradient,) = torch.autograd.grad(away.sum(), x)
        x = (x - 0.2 * 0.95**step * radius * gradient.sign()).clamp(box.lower, box.upper)
    return lowest


@pytest.mark.parametrize("name", ["tanh", "gelu", "products"])
def test_cuts_prove_what_bounds_of_many_inputs_leave_open(name: str) -> None:
    nets = {
        "tanh": lambda: mlp(60, 20, 20, 2, seed=1, activation="tanh"),
        "gelu": lambda: mlp(60, 20, 20, 2, seed=1, activation="gelu"),
        "products": lambda: products(60),
    }
    graph = nets[name]()
    box = region(graph, 0.06)
    found = searched(graph, box, descended(graph, box) - 0.03, lambda points: False).shared.whole
    assert found.visited > 1
    assert not found.open and not found.stuck and found.proved > 0
