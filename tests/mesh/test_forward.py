"""Forward passes and their gradients over weights that no rank holds whole."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.graph.forward import forward
from boundmesh.mesh.exchange.placement import is_product
from boundmesh.mesh.runtime.group import Group
from tests import networks
from tests.mesh.cases import Case
from tests.mesh.ranks import Ranks


def gradient(layout: DeviceLayout, case: Case) -> list[Tensor]:
    """The outputs at a point, and the gradient of their squares to it."""
    shape = case.graph[case.graph.input].shape
    x = torch.linspace(-1, 1, 2 * case.graph[case.graph.input].size, dtype=networks.DTYPE)
    x = x.reshape(2, *shape).requires_grad_()
    with layout.without_fetched_weights():
        y = forward(case.graph, layout.weights, x)
        (found,) = torch.autograd.grad(y.square().sum(), x)
    return [y.detach(), found]


def gradient_on_ranks(group: Group, case: Case, schedule: str) -> tuple[list[Tensor], Counter[str]]:
    layout = case.gather(group) if schedule == "gather" else case.exchange(group)
    return gradient(layout, case), group.calls


@pytest.mark.parametrize("schedule", ["gather", "exchange"])
@pytest.mark.parametrize("network", ["mlp", "conv", "pooling"])
def test_a_gradient_gathers_each_weight_once_forward_and_once_back(
    ranks: Ranks, network: str, schedule: str
) -> None:
    case = Case(network)
    expected = gradient(case.one_device(), case)
    products = sum(map(is_product, case.graph.nodes))
    for found, calls in ranks.run(gradient_on_ranks, case, schedule):
        assert all(map(torch.equal, found, expected))
        # Gather also shards the kernels of grouped convolutions.
        grouped = sum(node.op == "conv" and node["groups"] > 1 for node in case.graph.nodes)
        assert calls == {"all_gather": 2 * (products + grouped * (schedule == "gather"))}


def test_autograd_keeps_no_offloaded_weight() -> None:
    case = Case(sizes=(64, 64, 64, 64, 64, 2))
    layout = case.offload()
    x = torch.ones(1, 1, 64, dtype=networks.DTYPE, requires_grad=True)
    with layout.without_fetched_weights():
        y = forward(case.graph, layout.weights, x)
    gc.collect()
    whole = [
        each
        for each in gc.get_objects()
        if type(each) is Tensor and each.shape == (64, 64) and layout.weights.given.name(each)
    ]
    assert not whole
    assert y.requires_grad
