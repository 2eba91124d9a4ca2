"""Weights in host memory: the bits of one device, and only two parts on the device at a time."""

from __future__ import annotations

import pytest
import torch

from boundmesh.bounds.sweep.node_weights import PART_OUTPUTS, product_of, visits
from boundmesh.mesh.gather.sources import FromHost
from boundmesh.mesh.gather.weights import ShardedWeights
from tests.mesh import cases
from tests.mesh.cases import Case
from tests.mesh.ranks import Ranks

CASES = {
    "resnet": Case("resnet"),
    "weights in several parts": Case(sizes=(6, PART_OUTPUTS + 3, 3), tile_elements=80_000),
}


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_offload_gives_the_bits_of_weights_on_the_device(case: Case, method: str) -> None:
    expected = cases.bound(case.problem(case.one_device()), method)
    assert cases.equal(cases.bound(case.problem(case.offload()), method), expected)


@pytest.mark.parametrize("wave", [2, 3])
def test_waves_share_a_staged_weight_with_equal_bits(wave: int) -> None:
    case = Case(sizes=(4, 90, 80, 3), tile_elements=800)
    expected = cases.bound(case.problem(case.one_device()), "crown")
    assert cases.equal(cases.bound(case.problem(case.offload(wave)), "crown"), expected)


def test_offload_combines_with_shards(ranks: Ranks) -> None:
    case = CASES["resnet"]
    expected = cases.bound(case.problem(case.one_device()), "alpha-crown")
    for found in ranks.run(cases.gathered, case, "alpha-crown", 1, True):
        assert cases.equal(found, expected)


def test_the_device_holds_two_parts_and_the_biases() -> None:
    case = Case(sizes=(64, 64, 64, 64, 64, 64, 64, 5))
    layout = case.offload()
    cases.bound(case.problem(layout), "alpha-crown")
    assert layout.weights.bytes == 8 * (2 * 64 * 64 + 6 * 64 + 5)


def test_weights_are_held_whole_where_they_are_too_few_to_fetch() -> None:
    """Only a way whose weights stay on the device can be recorded."""
    case = CASES["resnet"]
    order = case.problem(case.one_device()).program.order(case.graph.output)
    assert case.one_device().holds(order)
    weights, device, dtype = case.graph.weights, torch.device("cpu"), case.dtype
    largest = max(array.size for array in weights.values())
    for replicated, held in ((largest, False), (largest + 1, True)):
        kept = ShardedWeights(case.graph, FromHost(device, dtype), device, dtype, replicated)
        assert kept.holds(order) == held
        assert kept.holds(node for node in order if not node.weights)


def test_weights_in_shards_are_whole_while_a_sweep_holds_them() -> None:
    case = CASES["resnet"]
    layout = case.offload()
    order = case.problem(layout).program.order(case.graph.output)
    products = [node for node in order if product_of(node) is not None]
    numbers = sum(case.graph.weights[node.weights[0]].size for node in products)
    with layout.holding(order, numbers - 1) as fetched:
        assert not fetched and not layout.holds(order)
    with layout.holding(order, numbers) as fetched:
        assert fetched == {node.name for node in products}
        assert layout.holds(order)
        first, second = ([*layout.stream(visits(order))] for _ in range(2))
        for node_weights, again in zip(first, second, strict=True):
            names = node_weights.node.weights
            for weight, same, name in zip(node_weights.tensors, again.tensors, names, strict=True):
                assert weight is same
                assert torch.equal(weight, torch.from_numpy(case.graph.weights[name]).to(weight))
    assert not layout.holds(order)
