"""Searches that clip: no counterexample is cut off, and formulas are decided as by enumeration."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.interval import Interval
from boundmesh.proof.margin_rows import margins_of
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.branching.influence import influence
from boundmesh.search.clip import clipped, empty
from boundmesh.search.domain import root
from boundmesh.settings import BranchSettings
from tests.networks import DTYPE, conv_net, mlp, problem, region, resnet, sampled

NETS = {
    "mlp": lambda: mlp(3, 8, 8, 2, seed=1),
    "leaky": lambda: mlp(3, 8, 8, 2, seed=1, activation="leaky_relu"),
    "abs": lambda: mlp(3, 8, 8, 2, seed=1, activation="abs"),
    "conv": conv_net,
    "resnet": resnet,
}


def searcher(graph, box, atoms, look=lambda points: False) -> ActivationSplitting:
    task, margins = problem(graph, box), margins_of(graph, (Clause(tuple(atoms)),))
    offset = margins.bound + margins.slack(torch.ones(margins.coefficients.shape[1]), DTYPE)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    settings = BranchSettings(batch=64)
    return ActivationSplitting(task, bounds, margins, offset, settings, Clock(60), look)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("seed", range(3))
def test_points_where_the_clause_holds_are_never_clipped(name, seed):
    graph = NETS[name]()
    box = region(graph, 0.6, seed)
    x, y = sampled(graph, box, 4000, seed)
    x, y = x[0].flatten(1), y[0].flatten(1)
    low = torch.quantile(y[:, :2], 0.5, dim=0)
    atoms = [Atom((), ((place, 1.0),), float(low[place])) for place in (0, 1)]
    search = searcher(graph, box, atoms)
    values, neurons = search.bounder.values, search.bounder.neurons
    q = torch.cat([x, x @ values.rows.T + values.constants], dim=1)
    matters = (y[:, :2] <= low).all(1)
    assert matters.sum() > 20
    generator = torch.Generator().manual_seed(seed)
    chosen = matters.nonzero().flatten()[:16]
    # The signs of a point that matters at a few of the first neurons.
    signs = torch.where(q[chosen, values.inputs :] >= 0, 1, -1)
    signs = signs * (torch.rand(signs.shape, generator=generator) < 0.3)
    splits = torch.zeros(16, neurons.count, dtype=torch.int8)
    splits[:, values.places] = signs.to(torch.int8)
    alpha = torch.rand(16, 2, neurons.count, generator=generator, dtype=DTYPE).half()
    beta = 0.3 * torch.rand(16, 2, neurons.count, generator=generator, dtype=DTYPE).half()
    clauses, margins = torch.zeros(16, dtype=torch.long), torch.full((16,), -1e9, dtype=DTYPE)
    domains = replace(
        root(neurons, clauses, margins, 2, search.bounder.root_box),
        splits=splits,
        alpha=alpha,
        beta=beta,
    )
    for _ in range(2):
        found = clipped(domains, search._quick(domains), search.bounder, search.cushion[[0] * 16])
        assert not empty(found).any()
        for domain in range(16):
            inside = matters & (splits[domain, values.places] * q[:, values.inputs :] >= 0).all(1)
            kept = (q >= found.lower[domain] - 1e-9) & (q <= found.upper[domain] + 1e-9)
            assert kept[inside].all()
        domains = found


def formula_network(clauses: list[dict[int, bool]], variables: int) -> Graph:
    """y₀ = Σ over clauses of what it lacks, y₁ = Σ over variables of their distance to 0 or 1: both
    are 0 where 0-1 inputs satisfy every clause, and nowhere else is one of them not above 0."""
    weight = np.zeros((len(clauses) + 2 * variables, variables))
    bias = np.zeros(len(weight))
    for row, clause in enumerate(clauses):
        bias[row] = 1 - sum(not sign for sign in clause.values())
        for variable, sign in clause.items():
            weight[row, variable] = -1 if sign else 1
    every = np.arange(variables)
    weight[len(clauses) + every, every] = 1
    weight[len(clauses) + variables + every, every] = 2
    bias[len(clauses) + variables :] = -1
    top = np.zeros((2, len(weight)))
    top[0, : len(clauses)] = 1
    top[1, len(clauses) :] = np.repeat([1, -1], variables)
    build = Builder()
    x = build.input((1, variables))
    hidden = build.add("relu", build.add("linear", x, weights=(weight, bias)))
    y = build.add("linear", hidden, weights=(top, np.zeros(2)))
    ports = (Port(x.name, x.shape, "float64"),), (Port(y.name, y.shape, "float64"),)
    return Graph(tuple(build.nodes.values()), x.name, y.name, build.weights, *ports)


def decide(clauses: list[dict[int, bool]], variables: int):
    graph = formula_network(clauses, variables)
    unit = torch.zeros(1, 1, variables, dtype=DTYPE)
    box = BoxRegion(unit, unit + 1)

    def look(points: torch.Tensor) -> bool:
        y = forward(graph, tensors(graph, DTYPE), points.round()).flatten(1)
        return bool((y <= 0).all(1).any())

    atoms = [Atom((), ((place, 1.0),), 0.0) for place in (0, 1)]
    search = searcher(graph, box, atoms, look)
    return search.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE))


@pytest.mark.parametrize("seed", range(12))
def test_formulas_are_refuted_exactly_where_no_assignment_satisfies_them(seed):
    rng = np.random.default_rng(seed)
    clauses = [
        {int(v): bool(rng.integers(2)) for v in rng.choice(5, 3, replace=False)}
        for _ in range(16 + 4 * seed)
    ]
    satisfiable = any(
        all(any(bits[v] == sign for v, sign in clause.items()) for clause in clauses)
        for bits in itertools.product([False, True], repeat=5)
    )
    found = decide(clauses, 5)
    proved = not found.found and not found.stuck
    assert proved == (not satisfiable)
    assert not proved or found.proved > 0


def tree(free: list[int], rng: np.random.Generator, depth: int) -> list[dict[int, bool]]:
    """Clauses that exclude one branch each of a random decision tree: none is satisfied by all."""
    if not depth:
        return [{}]
    variable = int(rng.choice(free))
    rest = [each for each in free if each != variable]
    return [
        {variable: sign, **clause}
        for sign in (False, True)
        for clause in tree(rest, rng, depth - 1)
    ]


def test_the_leaves_of_a_decision_tree_are_refuted_in_about_as_many_domains():
    clauses = tree(list(range(20)), np.random.default_rng(0), 5)
    found = decide(clauses, 20)
    assert not found.found and not found.stuck and found.proved > 0
    assert found.visited <= 4 * len(clauses)


def test_the_input_in_most_tight_constraints_has_most_influence():
    rows = torch.tensor([[1.0, 1, 0], [1.0, 0, 1], [2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    values = AffineValues(rows, torch.zeros(5), torch.zeros(5), torch.tensor([4, 0, 1, 2, 3]), (3,))
    reached = values.ranges(-torch.ones(1, 3), torch.ones(1, 3))
    lower = torch.cat([-torch.ones(1, 3), reached.lower], dim=1)
    upper = torch.cat([torch.ones(1, 3), reached.upper], dim=1)
    upper[0, 3:5] = 0
    (factor,) = influence(values, Interval(lower, upper), 6)
    assert factor[1] > factor[2] == factor[3] and factor[5] == 1


def test_margins_reported_after_clipping_hold_at_every_point():
    graph = mlp(3, 12, 2, seed=5)
    box = region(graph, 1.0, 5)
    _, y = sampled(graph, box, 20000)
    gap = (y[0, :, 0, 0] - y[0, :, 0, 1]).min().item()
    atom = Atom((), ((0, 1.0), (1, -1.0)), gap - 0.05)
    found = searcher(graph, box, [atom]).run(
        torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE)
    )
    assert not found.stuck and 0 < found.proved <= 0.05


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_inputs_that_nothing_reads_refute_nothing(zero):
    graph = mlp(4, 12, 2, seed=3)
    first = next(node for node in graph.nodes if node.op == "linear")
    weight = graph.weights[first.weights[0]].copy()
    weight[:, 1] = zero
    graph = replace(graph, weights={**graph.weights, first.weights[0]: weight})
    box = region(graph, 1.0, 3)
    _, y = sampled(graph, box, 20000)
    gap = (y[0, :, 0, 0] - y[0, :, 0, 1]).quantile(0.01).item()
    search = searcher(graph, box, [Atom((), ((0, 1.0), (1, -1.0)), gap)])
    search.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE), 500)
    assert search.search.open or search.search.stuck
