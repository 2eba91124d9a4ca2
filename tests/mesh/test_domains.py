"""Groups of domains: together they decide what one process decides, and lose no part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.graph.forward import tensors, values
from boundmesh.search.batches import Arrays
from boundmesh.search.domain import Domains
from boundmesh.search.frontier import Frontier
from boundmesh.search.input_split import InputBoxes
from boundmesh.search.parallel.shared import after, transfers
from tests.bounds.test_exact import exact_minimum
from tests.mesh import searches
from tests.mesh.ranks import Ranks
from tests.mesh.searches import Asked
from tests.networks import DTYPE, sampled

Start = Callable[[int], Ranks]
KINDS = ("input", "neurons")
MESHES = [(2, 1), (4, 1), (4, 2)]
"""Ranks, and shards among them."""


def tiny(kind: str, seed: int, above: float) -> Asked:
    """A network of one hidden layer; the bound is so far above its exact minimum."""
    asked = Asked(kind, (2, 6, 2), seed, 1.5, 0.0)
    lower, upper = (end.numpy().ravel() for end in (asked.box.lower, asked.box.upper))
    truth = exact_minimum(asked.graph, np.array([1.0, -1.0]), lower, upper)
    return replace(asked, bound=truth + above)


def prove_what_is_true(ranks: Ranks, true: Asked, false: Asked, shards: int) -> None:
    """All ranks prove `true`, and none proves `false`."""
    for found, _ in ranks.run(searches.shared, true, shards):
        assert not found.found and not found.stuck and not found.open and found.proved > 0
    for found, _ in ranks.run(searches.shared, false, shards):
        assert found.found or found.stuck


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "shards"), MESHES)
def test_groups_prove_what_enumeration_proves_and_nothing_else(
    start_ranks: Start, kind: str, size: int, shards: int
) -> None:
    for seed in range(4 // size):
        true, false = tiny(kind, seed, -1e-2), tiny(kind, seed, 1e-2)
        prove_what_is_true(start_ranks(size), true, false, shards)


@pytest.mark.parametrize("kind", KINDS)
def test_all_groups_work_and_know_the_same(ranks: Ranks, kind: str) -> None:
    asked = Asked(kind, (3, 12, 12, 2), 3, 2.0, -1.31)
    said = ranks.run(searches.shared, asked)
    whole = said[0][0]
    assert all(found == whole for found, _ in said)
    assert whole.visited == sum(visited for _, visited in said)
    # At whatever time they meet: a meeting that finds a batch for each group leaves none without.
    assert whole.widest >= asked.batch * ranks.size
    assert min(visited for _, visited in said) > 0
    assert not whole.found and not whole.stuck and whole.proved > 0
    one = searches.alone(asked)
    assert not one.found and not one.stuck


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_open_parts_of_all_groups_cover_the_region_once(ranks: Ranks, kind: str, seed: int) -> None:
    # Nothing is ever refuted, so that what is open is all there is.
    asked = Asked(kind, (3, 12, 12, 2), seed, 2.0, 1e6)
    said = ranks.run(searches.parts_left, asked, 60)
    opened = [part for _, left, _ in said for part in left]
    parts = opened + [part for _, _, leaves in said for part in leaves]
    assert said[0][0].found and len(opened) == ranks.size
    assert {whole.open for whole, _, _ in said} == {sum(map(len, opened))}
    points, _ = sampled(asked.graph, asked.box, 500)
    count = sum(inside(asked, part, points[0, 250:]) for part in parts)
    assert (count == 1).all()


def inside(asked: Asked, part: Arrays, points: torch.Tensor) -> torch.Tensor:
    """In how many domains each of the points `[K, *input_shape]` lies."""
    if isinstance(part, InputBoxes):
        at = points[:, None]
        within = (at >= part.lower) & (at <= part.upper)
        return within.flatten(2).all(2).sum(1)
    assert isinstance(part, Domains)
    problem = asked.problem(None)
    neurons = neurons_of(problem.program, intermediate_bounds(problem, by_rows=True).sharpest)
    seen = values(asked.graph, tensors(asked.graph, DTYPE), points)
    before = [
        seen[node.inputs[0]].flatten(1)[:, neurons.unstable[node.name].index]
        for node in problem.program.nonlinear
    ]
    return (torch.cat(before, 1)[:, None] * part.splits >= 0).all(2).sum(1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_counterexample_is_never_refuted_by_groups(ranks: Ranks, kind: str) -> None:
    for seed in range(2):
        asked = Asked(kind, (3, 8, 8, 2), seed, 1.0, 0.0)
        _, y = sampled(asked.graph, asked.box, 2000)
        planted = replace(asked, bound=float((y[0, :, 0, 0] - y[0, :, 0, 1]).min()))
        for found, _ in ranks.run(searches.shared, planted):
            assert found.found or found.stuck


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "shards"), MESHES)
def test_all_ranks_hear_what_a_run_decides(
    start_ranks: Start, kind: str, size: int, shards: int
) -> None:
    ranks = start_ranks(size)
    true, false = tiny(kind, 3, -1e-2), tiny(kind, 3, 1.0)
    assert [said[:2] for said in ranks.run(searches.decided, true, shards)] == [
        (True, False)
    ] * size
    for proved, _, _ in ranks.run(searches.decided, false, shards):
        assert not proved


def test_an_attempt_ends_for_all_groups_when_the_first_one_says_so(ranks: Ranks) -> None:
    asked = Asked("neurons", (3, 12, 12, 2), 1, 2.0, 1e6)
    limits = [100.0, *[1.0, float("inf"), 7.0][: ranks.size - 1]]
    said = ranks.run(searches.limited, asked, limits)
    assert all(found == said[0] for found in said)
    assert said[0].open > 0 and said[0].visited > 100


@pytest.mark.parametrize(("size", "shards"), [(2, 1), (4, 2)])
def test_groups_refine_together_and_begin_anew(start_ranks: Start, size: int, shards: int) -> None:
    asked = Asked("neurons", (3, 12, 12, 2), 2, 2.0, -1.47)
    said = start_ranks(size).run(searches.decided, asked, shards, 20)
    assert {(proved, found) for proved, found, _ in said} == {(True, False)}
    assert all(attempts > 1 for _, _, attempts in said)


def test_one_group_out_of_time_ends_the_search_of_all(ranks: Ranks) -> None:
    asked = Asked("input", (4, 20, 20, 2), 0, 3.0, 1e6)
    seconds = [600.0] * (ranks.size - 1) + [0.5]
    assert all(0.4 < spent < 20 for spent in ranks.run(searches.out_of_time, asked, seconds))


def test_the_error_of_one_group_ends_the_search_of_all(ranks: Ranks) -> None:
    asked = Asked("neurons", (4, 20, 20, 2), 0, 3.0, 1e6)
    said = ranks.run(searches.breaks, asked)
    assert all("a defect of the last rank" in message for message in said)
    assert all(message.startswith("a group of domains failed") for message in said[:-1])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=9), st.integers(1, 500))
def test_transfers_lose_no_domain_and_bring_groups_closer(counts: list[int], most: int) -> None:
    plan = transfers(counts, most)
    then = after(counts, plan)
    assert sum(then) == sum(counts) and min(then) >= min(counts) and max(then) <= max(counts)
    assert all(sum(gives) <= most for gives in plan)
    assert all(min(gives) >= 0 for gives in plan)
    if 2 * min(counts) < sum(counts) // len(counts) and most >= max(counts):
        assert min(then) == sum(counts) // len(counts)


@given(st.lists(st.floats(-9, 0), min_size=1, max_size=40), st.data())
def test_what_a_frontier_gives_and_keeps_is_all_it_had(
    margins: list[float], data: st.DataObject
) -> None:
    frontier: Frontier[Arrays] = Frontier()
    frontier.push(Arrays(torch.tensor(margins, dtype=DTYPE)))
    count = data.draw(st.integers(0, len(margins)))
    given_away = frontier.give(count)
    assert len(given_away) == count
    kept = frontier.pop(len(margins)).margin.tolist() if len(frontier) else []
    assert sorted(given_away.margin.tolist() + kept) == sorted(margins)
