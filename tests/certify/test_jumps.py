"""The attack of `certify` crosses the jumps of networks of signs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from onnx import helper, numpy_helper

import boundmesh
from boundmesh.attack.smoothing import measured_at
from boundmesh.graph.forward import tensors
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads

SIZE, CLASSES = 20, 4


def signs(seed: int, hidden: tuple[int, ...] = (64, 32)) -> Graph:
    """`W·sign(W·sign(W·x))` of weights ±1 that are divided by √n, with a score for each class."""
    drawn = np.random.default_rng(seed)
    nodes, weights, value = [], [], "x"
    widths = (SIZE, *hidden, CLASSES)
    for place, (many, few) in enumerate(pairwise(widths)):
        weight = drawn.choice([-1.0, 1.0], size=(many, few)) / np.sqrt(many)
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{place}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{place}"], [f"y{place}"]))
        value = f"y{place}"
        if place < len(hidden):
            nodes.append(helper.make_node("Sign", [value], [f"sign{place}"]))
            value = f"sign{place}"
    ends = helper.make_tensor_value_info("x", 1, (1, SIZE))
    out = helper.make_tensor_value_info(value, 1, (1, CLASSES))
    graph = helper.make_graph(nodes, "g", [ends], [out], weights)
    opsets = [helper.make_opsetid("", 17)]
    return loads(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def test_the_attack_finds_counterexamples_across_signs_before_any_bound() -> None:
    """Gradients of signs are zero, and random starts alone refute seven of twelve inputs."""
    x = np.random.default_rng(9).normal(size=(12, SIZE)).astype(np.float32)
    for seed in (0, 2):
        found = boundmesh.certify(signs(seed), x, eps=0.15, timeout_per_input=5)
        assert found.count("falsified") == 12
        assert {each.stage for each in found} <= {"score", "attack"}


def test_widths_of_jumps_are_measured_in_every_region_alone() -> None:
    graph = signs(1)
    weights = tensors(graph, torch.float64)
    x = torch.randn(3, 8, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = measured_at(graph, weights, x * torch.tensor([0.1, 1, 10]).reshape(3, 1, 1))
    for region, size in enumerate((0.1, 1.0, 10.0)):
        alone = measured_at(graph, weights, size * x[region : region + 1])
        for name, width in alone.widths.items():
            torch.testing.assert_close(together.widths[name][region], width[0], rtol=1e-6, atol=0)
    kept = together.take(torch.tensor([True, False, True])).scaled(2.0, points=5)
    for name, width in together.widths.items():
        assert kept[name].shape == (10, *width.shape[1:])
        torch.testing.assert_close(kept[name][7], 2 * width[2])
