"""Longer forms of operators compute what the operators do."""

from __future__ import annotations

import pytest
import torch

import boundmesh
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Port
from boundmesh.graph.passes.spell_out import spell_out
from boundmesh.operators import RULES
from tests.networks import pooled_maps
from tests.rules.samples import SAMPLES, Sample, name_of


@pytest.mark.parametrize(
    "each", [one for one in SAMPLES if RULES[one.node.op].longer is not None], ids=name_of
)
def test_a_longer_form_computes_the_same(each: Sample) -> None:
    build, node = Builder(), each.node
    x = build.input(node.input_shapes[0])
    y = build.add(node.op, x, **node.attributes)
    graph = build.graph(y, (Port("x", x.shape),), (Port("y", y.shape),))
    longer = spell_out(graph)
    assert longer.output == graph.output and len(longer.nodes) > len(graph.nodes)
    values = torch.randn(
        3, *x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    found = forward(longer, tensors(longer, torch.float64), values)
    assert torch.equal(found, forward(graph, tensors(graph, torch.float64), values))


def test_jacobians_of_pools_contain_difference_quotients() -> None:
    graph = pooled_maps(1)
    size = graph[graph.input].size
    x = torch.linspace(-1, 1, size, dtype=torch.float64)
    box = boundmesh.Box((x - 0.01).numpy(), (x + 0.01).numpy())
    found = boundmesh.jacobian(graph, box)
    weights = tensors(graph, torch.float64)
    ends = torch.stack([x - 0.01, x + 0.01]).reshape(2, *graph[graph.input].shape)
    low, high = forward(graph, weights, ends).reshape(2, -1)
    step = torch.full((size,), 0.02, dtype=torch.float64)
    least, most = (torch.as_tensor(end).double() @ step for end in (found.lower, found.upper))
    assert (high - low >= least - 1e-9).all() and (high - low <= most + 1e-9).all()
