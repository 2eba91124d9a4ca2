"""Neurons on several ranks: the bounds of one device, to rounding, in both directions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.region import BallRegion, BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.mesh.exchange import columns
from boundmesh.mesh.exchange.all_to_all import all_to_all
from boundmesh.mesh.exchange.layout import Exchange
from boundmesh.mesh.exchange.placement import gathers_rows, is_local, is_product, place
from boundmesh.mesh.runtime.group import Group
from boundmesh.operators import RULES
from boundmesh.operators.partition import Partition, even_partition
from boundmesh.operators.rounding import Rounding
from tests import networks
from tests.mesh import cases
from tests.mesh.cases import COMBINATIONS, Case, Recording
from tests.mesh.ranks import Ranks


@pytest.mark.parametrize(("ranks", "case", "method"), COMBINATIONS, indirect=["ranks"])
def test_exchange_gives_the_bounds_of_one_device(ranks: Ranks, case: Case, method: str) -> None:
    expected = cases.bound(case.problem(case.one_device()), method)
    for found in ranks.run(cases.exchanged, case, method):
        # Slopes are stored in 16 bits, where rounding can tip a slope over to its neighbour.
        loose = method == "alpha-crown" or case.kind == "cuda"
        assert cases.close(found, expected, 1e-6 if loose else 1e-12)


@pytest.mark.parametrize("case", [Case(sizes=(30, 64, 64, 64, 10)), Case("conv"), Case("resnet")])
def test_alpha_crown_in_float32_is_that_of_one_device(ranks: Ranks, case: Case) -> None:
    expected = alpha_crown_in_float32(None, case)
    for found in ranks.run(alpha_crown_in_float32, case):
        assert cases.close(found, expected, 1e-6)


class WholeMaps(OneDevice):
    """One device whose rows are dense, as those of exchange are; windows round differently."""

    windows = False


def alpha_crown_in_float32(group: Group | None, case: Case) -> list[Tensor]:
    graph, dtype = case.graph, torch.float32
    alone = WholeMaps(graph, "cpu", dtype)
    layout = alone if group is None else Exchange(graph, group, "cpu", dtype)
    problem = case.problem(layout)
    assert isinstance(problem.region, BoxRegion)
    box = BoxRegion(problem.region.lower.to(dtype), problem.region.upper.to(dtype))
    rows = DenseRows(networks.both_ways(graph).to(dtype))
    problem = replace(problem, region=box, rounding=Rounding.of(dtype))
    found = alpha_crown(problem, rows, StepSchedule(iterations=5))
    ends = (end for box in found.bounds.values() for end in (box.lower, box.upper))
    return [each.clone() for each in (found.lower, *ends)]


@pytest.mark.parametrize("sizes", [(600, 4100, 5, 3), (3, 600, 4100, 2)])
@pytest.mark.parametrize("method", ["crown", "alpha-crown"])
def test_a_layer_with_a_part_for_every_rank_is_cut_along_its_outputs(
    ranks: Ranks, sizes: tuple[int, ...], method: str
) -> None:
    case = Case(sizes=sizes, tile_elements=2**21)
    ways = {gathers_rows(node, 2) for node in case.graph.nodes if is_product(node)}
    assert ways == {False, True}
    expected = cases.bound(case.problem(case.one_device()), method)
    for found in ranks.run(cases.exchanged, case, method):
        assert cases.close(found, expected, 1e-6 if method == "alpha-crown" else 1e-12)


@pytest.mark.parametrize("name", ["conv", "resnet"])
@pytest.mark.parametrize("method", ["crown", "alpha-crown"])
def test_convolutions_among_the_channels_of_all_ranks_give_the_same_bounds(
    ranks: Ranks, name: str, method: str
) -> None:
    case = Case(name)
    expected = cases.bound(case.problem(case.one_device()), method)
    for found in ranks.run(exchanged_among_all, case, method):
        assert cases.close(found, expected, 1e-6 if method == "alpha-crown" else 1e-12)


def exchanged_among_all(group: Group, case: Case, method: str) -> list[Tensor]:
    """As on a GPU."""
    with patch.object(columns, "keeps_channels", lambda node, rows: node.op != "linear"):
        return cases.exchanged(group, case, method)


@pytest.mark.parametrize("slab", [2**21, 20, 1])
def test_a_turned_tensor_is_cut_along_the_other_dim(ranks: Ranks, slab: int) -> None:
    for rank, box_of_y in enumerate(ranks.run(turned_pieces, slab)):
        for piece, then in box_of_y:
            assert torch.equal(piece, then.piece(WHOLE, rank, 0).contiguous())


WHOLE = torch.arange(2 * 9 * 5).reshape(2, 9, 5)


def turned_pieces(group: Group, slab: int) -> list[tuple[Tensor, Partition]]:
    now, last = even_partition(1, 9, group.size), even_partition(2, 5, group.size)
    mine = now.piece(WHOLE, group.rank, 0)
    every_third = Partition(2, (*(min(3 * rank, 5) for rank in range(group.size)), 5))
    with patch("boundmesh.mesh.exchange.all_to_all.SLAB", slab):
        return [(all_to_all(group, mine, now, then).clone(), then) for then in (last, every_third)]


def test_crown_gathers_rows_once_a_product_and_turns_them_once_a_sum(ranks: Ranks) -> None:
    case = Case(sizes=(4, 90, 80, 70, 3), tile_elements=5000)
    recording = Recording(case.graph, "cpu", networks.DTYPE)
    cases.bound(case.problem(recording), "crown")
    # The first start node needs no rows, as its interval is exact; the target has dense rows.
    (second, third, target) = (tiles for _, tiles in recording.dealt)
    assert min(second, third) > 1
    # Unit rows and dense rows pass their start node without a word.
    products = relus = second + 2 * third + 3 * target
    tiles = second + third + target
    # Every product's interval is gathered, with what rows lose there.
    intervals = 4
    # What rows lose is added up at each product and relu behind their start, and at the input;
    # then it is gathered once.
    charges = 2 * relus + tiles
    expected = {
        "all_gather": intervals + products + relus + 2 * tiles,
        "all_to_all": relus + tiles + charges,
    }
    for calls in ranks.run(calls_of_crown, case):
        assert calls == expected


def calls_of_crown(group: Group, case: Case) -> Counter[str]:
    cases.exchanged(group, case, "crown")
    return group.calls


def test_a_rank_holds_its_share_of_the_weights_alone(ranks: Ranks) -> None:
    case = Case(sizes=(64, 64, 64, 64, 64, 64, 64, 8))
    weights, biases = 6 * 64 * 64 + 8 * 64, 6 * 64 + 8
    for stored in ranks.run(bytes_of_crown, case):
        assert stored == 8 * (weights // ranks.size + biases)


def bytes_of_crown(group: Group, case: Case) -> int:
    layout = case.exchange(group)
    cases.bound(case.problem(layout), "crown")
    return layout.weights.bytes


def test_a_whole_weight_is_joined_for_a_forward_pass(ranks: Ranks) -> None:
    case = Case("pooling")
    for weights in ranks.run(whole_weights, case):
        for name, array in case.graph.weights.items():
            assert (weights[name] == array).all()


def whole_weights(group: Group, case: Case) -> dict[str, np.ndarray]:
    return {name: weight.numpy().copy() for name, weight in case.exchange(group).weights.items()}


def test_bounds_over_a_ball_are_those_of_one_device(ranks: Ranks) -> None:
    case = Case("conv")
    expected = bounds_over_a_ball(None, case)
    for found in ranks.run(bounds_over_a_ball, case):
        assert cases.close(found, expected, 1e-12)


def bounds_over_a_ball(group: Group | None, case: Case) -> list[Tensor]:
    layout = case.one_device() if group is None else case.exchange(group)
    shape = case.graph[case.graph.input].shape
    center = torch.linspace(-1, 1, math.prod(shape), dtype=networks.DTYPE).reshape(1, *shape)
    ball = BallRegion(center, torch.tensor([0.1], dtype=networks.DTYPE), 2.0)
    return cases.bound(replace(case.problem(layout), region=ball), "crown")


@pytest.mark.parametrize(
    ("network", "whole"),
    [("conv", set()), ("resnet", set()), ("pooling", {"sum", "scale", "shift", "reshape"})],
)
def test_what_has_a_sharded_form_is_cut(network: str, whole: set[str]) -> None:
    graph = Case(network).graph
    cuts = place(graph, 2)
    assert {node.op for node in graph.nodes if cuts[node.name] is None} <= whole


def test_a_nonlinear_node_works_on_pieces_of_all_its_inputs_or_on_the_whole() -> None:
    for case in cases.CASES.values():
        graph = case.graph
        for ranks in (2, 3, 4, 7):
            cuts = place(graph, ranks)
            for node in graph.nodes:
                if node.op != "input" and not RULES[node.op].affine:
                    pieces = {cuts[name] is not None for name in node.inputs}
                    assert pieces == {is_local(node, cuts)}
