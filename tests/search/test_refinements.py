"""A long search begins anew only where refined bounds bring its root nearer to a proof."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node
from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search import region_search
from boundmesh.search.decide import branch
from boundmesh.settings import BoundSettings, BranchSettings
from tests.networks import DTYPE, finished, region, sampled

SMALL_BATCHES = BranchSettings("fsb", batch=4, levels=2)


def with_deep_neighbour(seed: int) -> Graph:
    """One layer of ReLUs for y₀, and beside it three layers for y₁.

    Refinement sharpens the deep layers alone, and y₀ does not depend on them.
    """
    rng, build = np.random.default_rng(seed), Builder()
    x = build.input((1, 5))

    def linear(value: Node, out: int) -> Node:
        wide = value.shape[1]
        weights = rng.normal(size=(out, wide)) / np.sqrt(wide), rng.normal(size=out) / 4
        return build.add("linear", value, weights=weights)

    first = linear(build.add("relu", linear(x, 30)), 1)
    deep = build.add("relu", linear(x, 8))
    deep = linear(build.add("relu", linear(deep, 8)), 1)
    return finished(build, build.add("concat", first, deep, axis=1))


def searched(graph: Graph, radius: float, share: float) -> tuple[Standing, Clock]:
    """The search for y₀ > its lowest sample less `share` of the range of samples."""
    box = region(graph, radius)
    _, y = sampled(graph, box, 20_000)
    low, high = float(y[0, ..., 0].min()), float(y[0, ..., 0].max())
    margins = margins_of(graph, (Clause((Atom((), ((0, 1.0),), low - share * (high - low)),)),))
    slack = margins.slack(y[0, 0].flatten(), DTYPE)
    question = Question(margins, box, (0,), slack, OneDevice(graph, "cpu", DTYPE))
    standing, clock = Standing.at_start(question), Clock(20)
    with patch.multiple(region_search, LEAST_PATIENCE=8, LONGEST_REFINEMENT=4):
        branch(standing, BoundSettings(), SMALL_BATCHES, clock, lambda case, points: None)
    return standing, clock


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_a_search_goes_on_where_refined_bounds_bring_its_root_no_nearer(seed: int) -> None:
    standing, clock = searched(with_deep_neighbour(seed), 2.0, 0.02)
    assert not standing.open.any()
    assert "refine" in clock.seconds
    assert len(standing.searches) == 1
