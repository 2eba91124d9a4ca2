"""Weights read from other ranks' memory: the bits of one device, without a collective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from boundmesh.bounds.sweep.affine import pull
from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.bounds.sweep.node_weights import (
    PART_ELEMENTS,
    PART_OUTPUTS,
    NodeWeights,
    Visit,
    visits,
)
from boundmesh.bounds.sweep.tape import Tape
from boundmesh.mesh.gather.peers import FromPeers
from boundmesh.mesh.gather.weights import ShardedWeights
from boundmesh.mesh.runtime.group import Group
from tests import networks
from tests.mesh import cases
from tests.mesh.cases import Case
from tests.mesh.ranks import Ranks

WIDE = PART_ELEMENTS // PART_OUTPUTS
"""Inputs of a weight whose parts have PART_OUTPUTS outputs."""

CASES = {
    "resnet": Case("resnet"),
    "pooling": Case("pooling"),
    "weights in several parts": Case(sizes=(WIDE, 2 * PART_OUTPUTS + 3, 3)),
    "fewer neurons than ranks": Case(sizes=(5, 3, 2, 3, 2)),
}


def peers(group: Group, case: Case) -> ShardedWeights:
    cpu = torch.device("cpu")
    bring = FromPeers(group, cpu, networks.DTYPE)
    return ShardedWeights(case.graph, bring, cpu, networks.DTYPE, replicated=0)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_parts_read_from_peers_are_the_rows_of_the_weight(ranks: Ranks, case: Case) -> None:
    for parts, _ in ranks.run(streamed, case):
        for name, found in parts.items():
            whole = case.graph.weights[name]
            for low, high, part in found:
                assert (part == whole[low:high] if len(found) > 1 else part == whole).all()


@pytest.mark.parametrize("sizes", [(WIDE, 3 * PART_OUTPUTS), (40, 50)])
def test_a_visit_reads_the_shortest_run_of_rows_with_the_outputs_that_it_needs(
    sizes: tuple[int, int], ranks: Ranks
) -> None:
    case = Case(sizes=sizes)
    (weight,) = (array for array in case.graph.weights.values() if array.ndim == 2)
    last = sizes[1] - 1
    for outputs in ([last - 9, last - 30, last - 12], [last], [0, last], []):
        for found in ranks.run(rows_read, case, outputs):
            assert sum(high - low for low, high, _ in found) <= max(np.ptp(outputs or [0]) + 1, 1)
            for low, high, part in found:
                assert (part == weight[low:high]).all()
            assert all(any(low <= i < high for low, high, _ in found) for i in outputs)


def rows_read(group: Group, case: Case, outputs: list[int]) -> list[tuple[int, int, np.ndarray]]:
    visit = Visit(case.graph[case.graph.output], np.array(outputs, dtype=np.int64))
    found = [
        (part.low, part.high, part.weight.numpy().copy())
        for node_weights in peers(group, case).stream([visit])
        for part in node_weights.parts
    ]
    group.all_gather_object(None)
    return found


def test_reading_from_peers_runs_no_collective(ranks: Ranks) -> None:
    for _, calls in ranks.run(streamed, CASES["resnet"]):
        assert calls == {"all_gather_object": 1}


def streamed(
    group: Group, case: Case
) -> tuple[dict[str, list[tuple[int, int, np.ndarray]]], Counter[str]]:
    weights = peers(group, case)
    found: dict[str, list[tuple[int, int, np.ndarray]]] = {}
    for node_weights in weights.stream(visits(case.graph.nodes)):
        for part in node_weights.parts:
            name = node_weights.node.weights[0]
            found.setdefault(name, []).append((part.low, part.high, part.weight.numpy().copy()))
    # Nobody lets go of memory that another rank may still read.
    calls = group.calls.copy()
    group.all_gather_object(None)
    return found, calls


def test_a_rank_holds_its_share_of_the_weights(ranks: Ranks) -> None:
    case = Case(sizes=(64, 64, 64, 5))
    biases = sum(array.size for array in case.graph.weights.values() if array.ndim == 1)
    pieces = sum(
        -(-len(array) // ranks.size) * array[0].size
        for array in case.graph.weights.values()
        if array.ndim > 1
    )
    for stored in ranks.run(bytes_held, case):
        assert stored <= 8 * (pieces + biases)


def test_weights_of_many_parts_are_dealt_evenly(ranks: Ranks) -> None:
    weights, biases = WIDE * 4 * PART_OUTPUTS, 4 * PART_OUTPUTS
    stored = ranks.run(bytes_held, Case(sizes=(WIDE, 4 * PART_OUTPUTS)))
    assert stored == [8 * (weights // ranks.size + biases)] * ranks.size


def bytes_held(group: Group, case: Case) -> int:
    stored = peers(group, case).bytes
    group.all_gather_object(None)
    return stored


@pytest.mark.parametrize("parts", [4, 5])
def test_rows_that_go_to_the_parts_of_a_weight_come_back_as_from_one_device(
    parts: int, ranks: Ranks
) -> None:
    case = Case(sizes=(WIDE, parts * PART_OUTPUTS - 7, 3))
    expected = pulled(case, OneDevice(case.graph, "cpu", networks.DTYPE))
    for found, received in ranks.run(distributed, case):
        assert cases.close(found, expected, 1e-14)
        # Rows and gradients were sent, not weights.
        assert 0 < received < 8 * parts * WIDE * PART_OUTPUTS / 10


def distributed(group: Group, case: Case) -> tuple[list[torch.Tensor], int]:
    layout: Any = Spreading(peers(group, case), group)  # type: ignore[abstract]
    found = pulled(case, layout)
    received = group.received["all_gather"]
    group.all_gather_object(None)
    return found, received


def pulled(case: Case, layout: DeviceLayout) -> list[torch.Tensor]:
    """Rows of the first layer at its inputs, their biases, and the gradients to them."""
    node = case.graph[case.graph.nodes[1].name]
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1, 3, *node.shape, generator=generator).double()
    rows.requires_grad_()
    node_weights = next(iter(layout.stream([Visit(node)])))
    (found,) = pull(node_weights, Tape(layout), [rows], [None])
    assert found.bias is not None
    (gradient,) = torch.autograd.grad(found.only.square().sum() + found.bias.sum(), rows)
    return [found.only.detach(), found.bias.detach(), gradient]


class Spreading(DeviceLayout):
    """Rows go to the parts of weights."""

    def __init__(self, weights: ShardedWeights, group: Group) -> None:
        self._weights, self._group = weights, group

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._weights.stream(visits, among=self._group)
