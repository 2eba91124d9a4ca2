"""Small searches between iterations of α-CROWN, on attention with ReLUs behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import tensors, values
from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node
from boundmesh.proof.ladder import climb
from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.decide import branch
from boundmesh.search.domain import Domains
from boundmesh.search.trial import Trials
from boundmesh.settings import BoundSettings, BranchSettings
from tests.networks import DTYPE, finished, region, sampled

OPTIONS = BoundSettings(), BranchSettings(batch=64)


def attention(seed: int) -> Graph:
    """A layer of a transformer: attention of three tokens, then two linear layers with ReLUs."""
    rng, build = np.random.default_rng(seed), Builder()
    x = build.input((1, 3, 4))

    def linear(value: Node, out: int) -> Node:
        wide = value.shape[-1]
        weights = rng.normal(size=(out, wide)) / np.sqrt(wide), rng.normal(size=out) / 4
        return build.add("linear", value, weights=weights)

    keys = build.add("transpose", linear(x, 4), perm=(0, 2, 1))
    shares = build.add("softmax", build.add("matmul", linear(x, 4), keys), axis=2)
    x = build.add("add", build.add("matmul", shares, linear(x, 4)), x)
    x = build.add("add", linear(build.add("relu", linear(x, 8)), 4), x)
    return finished(build, linear(build.reshape(x, (1, 12)), 2))


def asked(seed: int, radius: float, share: float) -> Standing:
    """The claim that y₀ stays above its lowest sample less `share` of the range of samples."""
    graph = attention(seed)
    box = region(graph, radius, seed)
    _, y = sampled(graph, box, 20_000)
    low, high = float(y[0, ..., 0].min()), float(y[0, ..., 0].max())
    margins = margins_of(graph, (Clause((Atom((), ((0, 1.0),), low - share * (high - low)),)),))
    slack = margins.slack(y[0, 0].flatten(), DTYPE)
    return Standing.at_start(Question(margins, box, (0,), slack, OneDevice(graph, "cpu", DTYPE)))


def trials(standing: Standing) -> Trials:
    made = Trials(*OPTIONS, Clock(60))
    climb(standing, OPTIONS[0], made.clock, methods=["alpha-crown"], attempt=made)
    return made


TRUE_CLAIMS = [(2, 0.1, 0.4), (1, 0.2, 0.1), (3, 0.2, 0.1), (0, 0.2, 0.2)]


@pytest.mark.parametrize(("seed", "radius", "share"), TRUE_CLAIMS)
def test_a_few_domains_decide_what_alpha_crown_leaves_open(
    seed: int, radius: float, share: float
) -> None:
    standing, clock = asked(seed, radius, share), Clock(60)
    climb(standing, OPTIONS[0], clock, methods=["alpha-crown"])
    assert standing.open.all()
    (search,) = branch(standing, *OPTIONS, clock, lambda case, points: None)
    assert not standing.open.any() and standing.worst > 0
    assert search.visited <= 160


@pytest.mark.parametrize(("seed", "radius", "share"), TRUE_CLAIMS)
def test_a_trial_decides_it_while_slopes_are_optimised(
    seed: int, radius: float, share: float
) -> None:
    standing = asked(seed, radius, share)
    made = trials(standing)
    assert not standing.open.any() and standing.worst > 0
    assert len(standing.searches) == 1 and standing.searches[0].visited <= 200
    assert "branch" in made.clock.seconds


def test_a_trial_that_closes_no_clause_leaves_the_proof_as_it_was() -> None:
    tried, plain = asked(0, 0.3, 0.1), asked(0, 0.3, 0.1)
    made = trials(tried)
    climb(plain, OPTIONS[0], Clock(60), methods=["alpha-crown"])
    assert made.lacked and "branch" in made.clock.seconds
    assert not tried.searches and tried.open.all()
    assert torch.equal(tried.rows, plain.rows)


@pytest.mark.parametrize("seed", range(4))
def test_a_claim_that_a_sample_breaks_is_never_refuted_by_a_trial(seed: int) -> None:
    standing = asked(seed, 0.1, 0.0)
    trials(standing)
    assert standing.open.all()


def test_a_search_may_close_nothing_where_its_scores_add_up_to_less_than_is_missing() -> None:
    standing = asked(0, 0.2, 3.0)
    made = Trials(*OPTIONS, Clock(60))
    standing.rows[:] = -1000.0
    problem = standing.question.problem(standing.question.region, OPTIONS[0], made.clock)
    bounds = intermediate_bounds(problem, by_rows=True).sharpest
    made(standing, torch.tensor([0]), bounds)
    assert not made.lacked
    standing.rows[:] = -1e-6
    made(standing, torch.tensor([0]), bounds)
    assert made.lacked == {0: 1e-6}


@pytest.mark.parametrize("seed", range(2))
def test_the_bound_of_every_domain_holds_at_the_samples_in_it(seed: int) -> None:
    standing = asked(seed, 0.3, 0.0)
    question, region = standing.question, standing.question.region
    problem = question.problem(region, OPTIONS[0], Clock(60))
    bounds = intermediate_bounds(problem, by_rows=True).sharpest
    rest = question.margins, question.offset, OPTIONS[1], Clock(60), lambda points: None
    splitting = ActivationSplitting(problem, bounds, *rest)
    splitting.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE), 100)
    open_domains = splitting.frontier.pop(len(splitting.frontier))
    assert len(open_domains) > 10
    graph = problem.program.graph
    assert isinstance(region, BoxRegion)
    x, y = sampled(graph, region, 4000)
    margin = y[0].flatten(1)[:, 0] - question.offset[0]
    inside = _inside(splitting, open_domains, values(graph, tensors(graph, DTYPE), x[0]))
    assert inside.any(1).sum() > 10
    assert (~inside | (margin >= open_domains.margin[:, None])).all()


def _inside(splitting: ActivationSplitting, domains: Domains, seen: dict[str, Tensor]) -> Tensor:
    """Return the mask `[D, K]` of the samples that satisfy all splits and cuts of each domain."""
    neurons, cuttable = splitting.bounder.neurons, splitting.bounder.cuttable
    program = splitting.bounder.problem.program
    z = torch.cat(
        [
            seen[program.graph[name].inputs[0]].flatten(1)[:, neurons.unstable[name].index]
            for name in neurons.columns
        ],
        dim=1,
    )
    above = (z - neurons.split_points).nan_to_num(0.0)
    inside = (above * domains.splits[:, None] >= 0).all(2)
    assert cuttable is not None
    cut = torch.cat([seen[name].flatten(1) for name in cuttable.columns], dim=1)
    beyond = cut[:, domains.place.long()].transpose(0, 1) - domains.point[:, None]
    return inside & (beyond * domains.sign[:, None] >= 0).all(2)
