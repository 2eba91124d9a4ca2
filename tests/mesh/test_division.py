"""Rounds divided over the ranks of a group: each bounds its share, and all go on alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from boundmesh.graph.forward import tensors, values
from boundmesh.search.input_boxes import InputBoxes
from boundmesh.search.parallel.division import Division, active
from boundmesh.search.parallel.groups import OneGroup
from tests.mesh import divisions, searches
from tests.mesh.ranks import Ranks
from tests.mesh.searches import Asked
from tests.mesh.test_domains import KINDS, inside, prove_what_is_true, tiny
from tests.networks import DTYPE, sampled

Start = Callable[[int], Ranks]
MESHES = [(2, 2), (4, 4), (4, 2)]
"""Ranks, and shards among them."""


@pytest.mark.parametrize("schedule", ["gather", "exchange"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 4])
def test_ranks_of_a_group_prove_what_enumeration_proves_and_nothing_else(
    start_ranks: Start, kind: str, size: int, schedule: str
) -> None:
    for seed in range(4 // size):
        true, false = (
            replace(tiny(kind, seed, above), schedule=schedule) for above in (-1e-2, 0.3)
        )
        prove_what_is_true(start_ranks(size), true, false, size)


@pytest.mark.parametrize("kind", KINDS)
def test_each_rank_bounds_its_share_in_step_with_the_others(ranks: Ranks, kind: str) -> None:
    asked = Asked(kind, (3, 12, 12, 2), 3, 2.0, -1.4, batch=8)
    said = ranks.run(divisions.worked, asked)
    whole = said[0].whole
    assert all(each.whole == whole for each in said)
    assert whole.proved > 0 and not whole.open and not whole.found
    # The same collectives, among them those that bring weights, and as many rounds.
    assert said[0].calls["all_gather"] > 0 and all(each.calls == said[0].calls for each in said)
    rounds = len(said[0].bounded)
    assert all(len(each.bounded) == rounds for each in said)
    idle = sum(sum(each.bounded) for each in said) - whole.visited
    assert 0 <= idle <= 2 * rounds * (ranks.size - 1)
    # A batch is as many domains for each rank: more ranks need fewer rounds.
    assert rounds < len(divisions.alone(asked).bounded)
    assert all(sum(each.bounded) <= 1.5 * whole.visited / ranks.size + rounds for each in said)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "shards"), MESHES)
def test_ranks_of_a_group_hold_equal_frontiers_that_cover_the_region_once(
    start_ranks: Start, kind: str, size: int, shards: int
) -> None:
    # Nothing is ever refuted, so that what is open is all there is.
    asked = Asked(kind, (3, 12, 12, 2), 1, 2.0, 1e6)
    said = start_ranks(size).run(searches.parts_left, asked, 60, shards)
    parts = []
    for first in range(0, size, shards):
        leader, *others = (left + leaves for _, left, leaves in said[first : first + shards])
        parts += leader
        for mine in others:
            assert len(mine) == len(leader)
            for one, other in zip(mine, leader, strict=True):
                assert torch.equal(one.packed, other.packed)
    points, _ = sampled(asked.graph, asked.box, 500)
    count = sum(inside(asked, part, points[0, 250:]) for part in parts)
    assert (count == 1).all()


@pytest.mark.parametrize("schedule", ["gather", "exchange"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", ["", "resnet"])
def test_ranks_stay_in_step_through_convolutions_and_weights_of_several_parts(
    start_ranks: Start, network: str, kind: str, schedule: str
) -> None:
    asked = Asked(kind, (4, 4200, 6, 2), 1, 0.05, 1e6, 5, schedule, network)
    (whole, *left), (other, *same) = start_ranks(2).run(searches.parts_left, asked, 30, 2)
    assert whole == other and whole.open >= 2 * asked.batch
    for one, two in zip(left, same, strict=True):
        assert [each.packed.tolist() for each in one] == [each.packed.tolist() for each in two]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "shards"), MESHES)
def test_a_planted_counterexample_is_never_refuted_by_ranks(
    start_ranks: Start, kind: str, size: int, shards: int
) -> None:
    asked = Asked(kind, (3, 8, 8, 2), 0, 1.0, 0.0)
    _, y = sampled(asked.graph, asked.box, 2000)
    planted = replace(asked, bound=float((y[0, :, 0, 0] - y[0, :, 0, 1]).min()))
    for found, _ in start_ranks(size).run(searches.shared, planted, shards):
        assert found.found or found.stuck


def test_a_rank_whose_domains_are_proved_sweeps_until_all_are_done(ranks: Ranks) -> None:
    asked = Asked("neurons", (3, 12, 12, 2), 3, 2.0, 0.0)
    easy, hard = [-1e3, -1e3, -1e3], [1e3, -1e3, 1e3, 1e3]
    said = ranks.run(divisions.climbed, asked, [easy] * (ranks.size - 1) + [hard])
    assert {sweeps for _, sweeps in said} == {21}
    for found, _ in said[:-1]:
        assert found.margin.shape == (3,) and (found.margin > 0).all()
    assert (said[-1][0].margin > 0).tolist() == [False, True, False, False]
    said = ranks.run(divisions.climbed, asked, [easy] * ranks.size)
    assert {sweeps for _, sweeps in said} == {1}


def test_refining_by_ranks_is_sound_and_what_one_process_finds(ranks: Ranks) -> None:
    asked = Asked("neurons", (3, 5, 5, 2), 2, 1.0, 0.0)
    one, said = divisions.refined(None, asked), ranks.run(divisions.refined, asked)
    points, _ = sampled(asked.graph, asked.box, 500)
    seen = values(asked.graph, tensors(asked.graph, DTYPE), points[0])
    for name, box in said[0].items():
        for found in said[1:]:
            assert torch.equal(found[name].lower, box.lower)
            assert torch.equal(found[name].upper, box.upper)
        assert ((seen[name] > box.lower - 1e-9) & (seen[name] < box.upper + 1e-9)).all()
        # Beyond zero a row is decided, and how far it climbs depends on what it climbs with.
        lower, upper = one[name].lower.clamp(max=0), one[name].upper.clamp(min=0)
        torch.testing.assert_close(box.lower.clamp(max=0), lower, rtol=0, atol=1e-4)
        torch.testing.assert_close(box.upper.clamp(min=0), upper, rtol=0, atol=1e-4)


def test_ranks_of_a_group_refine_and_begin_anew(start_ranks: Start) -> None:
    asked = Asked("neurons", (3, 12, 12, 2), 3, 2.0, -1.4, batch=2)
    said = start_ranks(2).run(searches.decided, asked, 2, 20)
    assert {(proved, found) for proved, found, _ in said} == {(True, False)}
    assert all(attempts > 1 for _, _, attempts in said)


@dataclass
class SilentGroup(OneGroup):
    """One rank of a group that never exchanges anything."""

    rank_in_group: int
    ranks: int

    def all_gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        raise AssertionError


@given(st.integers(1, 40), st.integers(1, 5))
def test_shares_are_the_batch_once_and_of_one_size(count: int, ranks: int) -> None:
    margin = -torch.arange(1, count + 1, dtype=torch.float64)
    batch = InputBoxes(margin, torch.rand(count, 2), torch.rand(count, 2))
    shares = [Division(SilentGroup(rank, ranks)).share(batch) for rank in range(ranks)]
    assert {len(share) for share in shares} == {-(-count // ranks)}
    working = torch.cat([share.margin[active(share)] for share in shares])
    assert sorted(working.tolist()) == sorted(margin.tolist())


@given(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3))
def test_packed_domains_are_the_same_domains(count: int, rows: int, columns: int) -> None:
    shape = (count, rows, columns)
    batch = InputBoxes(torch.rand(count).double(), torch.rand(shape).half(), torch.rand(shape))
    like = batch.take(torch.arange(0))
    again = like.unpacked(batch.packed)
    assert torch.equal(again.margin, batch.margin)
    assert torch.equal(again.lower, batch.lower) and torch.equal(again.upper, batch.upper)
