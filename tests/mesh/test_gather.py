"""Sharded weights and dealt tiles: the bits of one device, counted collectives, counted bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from boundmesh.bounds.sweep.node_weights import PART_OUTPUTS
from boundmesh.mesh.runtime.group import Group
from tests import networks
from tests.mesh import cases
from tests.mesh.cases import COMBINATIONS, Case, Recording
from tests.mesh.ranks import Ranks


@pytest.mark.parametrize(("ranks", "case", "method"), COMBINATIONS, indirect=["ranks"])
def test_gather_gives_the_bits_of_one_device(ranks: Ranks, case: Case, method: str) -> None:
    expected = cases.bound(case.problem(case.one_device()), method)
    for found in ranks.run(cases.gathered, case, method):
        assert cases.equal(found, expected)


def test_weights_in_several_parts_give_the_bits_of_one_device(ranks: Ranks) -> None:
    case = Case(sizes=(6, PART_OUTPUTS + 3, 3), tile_elements=80_000)
    expected = cases.bound(case.problem(case.one_device()), "alpha-crown")
    for found in ranks.run(cases.gathered, case, "alpha-crown"):
        assert cases.equal(found, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="it takes two GPUs")
@pytest.mark.parametrize("method", ["crown", "alpha-crown"])
def test_few_rows_that_go_to_dealt_parts_give_the_bits_of_one_gpu(
    start_ranks: Callable[..., Ranks], method: str
) -> None:
    sizes = 512, 2 * PART_OUTPUTS, 2 * PART_OUTPUTS, 3
    case = Case(sizes=sizes, tile_elements=2**22, kind="cuda")
    expected = cases.bound(case.problem(case.one_device()), method)
    for found in start_ranks(2, "cuda").run(cases.gathered, case, method):
        assert cases.equal(found, expected)


@pytest.mark.parametrize("wave", [2, 3])
def test_a_wave_of_tiles_gives_the_same_bits(ranks: Ranks, wave: int) -> None:
    case = Case(sizes=(4, 90, 80, 3), tile_elements=800)
    expected = cases.bound(case.problem(case.one_device()), "crown")
    for found in ranks.run(cases.gathered, case, "crown", wave):
        assert cases.equal(found, expected)


@pytest.mark.parametrize("wave", [1, 2])
def test_crown_runs_one_gather_per_part_and_wave_and_one_join_per_start(
    ranks: Ranks, wave: int
) -> None:
    case = Case(sizes=(4, 90, 80, 3), tile_elements=500)
    recording = Recording(case.graph, "cpu", networks.DTYPE)
    problem = case.problem(recording)
    cases.bound(problem, "crown")
    layers = {start: place + 1 for place, start in enumerate(problem.program.starts)}
    layers[problem.program.target] = len(layers) + 1
    # Intervals go forward through all layers, as each rounds.
    expected = len(problem.program.starts) + 1
    for start, tiles in recording.dealt:
        rounds = -(-tiles // ranks.size)
        expected += -(-rounds // wave) * layers[start] + 1
    assert max(tiles for _, tiles in recording.dealt) > ranks.size * wave
    for calls in ranks.run(calls_of_crown, case, wave):
        assert calls == {"all_gather": expected}


def calls_of_crown(group: Group, case: Case, wave: int) -> Counter[str]:
    cases.gathered(group, case, "crown", wave)
    return group.calls


def test_a_rank_holds_its_share_of_the_weights_and_two_parts(ranks: Ranks) -> None:
    case = Case(sizes=(64, 64, 64, 64, 64, 64, 64, 5))
    weights = 8 * (6 * 64 * 64 + 5 * 64)
    biases = 8 * (6 * 64 + 5)
    largest = 8 * 64 * 64
    padding = 8 * 64 * ranks.size
    for stored in ranks.run(bytes_of_alpha_crown, case):
        assert stored <= weights / ranks.size + padding + biases + 2 * largest


def bytes_of_alpha_crown(group: Group, case: Case) -> int:
    layout = case.gather(group)
    cases.bound(case.problem(layout), "alpha-crown")
    return layout.weights.bytes


def test_a_whole_weight_is_joined_for_a_forward_pass(ranks: Ranks) -> None:
    case = Case("resnet")
    for weights in ranks.run(whole_weights, case):
        for name, array in case.graph.weights.items():
            assert (weights[name] == array).all()


def whole_weights(group: Group, case: Case) -> dict[str, np.ndarray]:
    return {name: weight.numpy().copy() for name, weight in case.gather(group).weights.items()}
