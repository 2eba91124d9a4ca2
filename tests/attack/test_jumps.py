"""The attack crosses jumps: smoothed gradients, and a search without gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from boundmesh.attack.flips import Flips
from boundmesh.attack.pgd import Attack
from boundmesh.attack.replay import Replay
from boundmesh.attack.search import Descent
from boundmesh.attack.smoothing import jumping, measured
from boundmesh.attack.space import space_of
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.property import Atom, Ball, Box, Case, Clause, Property
from boundmesh.read.onnx import loads
from boundmesh.runtime.clock import Clock
from boundmesh.settings import AttackSettings

JUMPS = {
    "step": {"bend": 0.25, "tie": 0.0, "low": -1.0, "high": 1.0},
    "floor": {},
    "round": {},
    "argmax": {"axis": 0, "last": False},
    "top_places": {"axis": 0, "count": 4},
}


def node_of(op: str, size: int = 4) -> Node:
    shape = () if op == "argmax" else (size,)
    return Node("n", op, ("x",), shape, ((size,),), JUMPS[op])


def signs(*widths: int, op: str = "Sign", seed: int = 0) -> Graph:
    """`W·sign(W·x)` and so on, of weights ±1 that are divided by √n; one output."""
    drawn = np.random.default_rng(seed)
    nodes, weights, value = [], [], "x"
    for place, (many, few) in enumerate(zip(widths, (*widths[1:], 1), strict=True)):
        weight = drawn.choice([-1.0, 1.0], size=(many, few)) / np.sqrt(many)
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{place}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{place}"], [f"y{place}"]))
        value = f"y{place}"
        if few > 1:
            nodes.append(helper.make_node(op, [value], [f"jump{place}"]))
            value = f"jump{place}"
    ends = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, widths[0]))
    out = helper.make_tensor_value_info(value, TensorProto.FLOAT, (1, 1))
    graph = helper.make_graph(nodes, "g", [ends], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


def at_least(bound: float, size: int, radius: float = 1.0) -> Property:
    """Satisfied where the one output is `bound` or more and the inputs lie within a radius."""
    clause = Clause((Atom((), ((0, -1.0),), -bound),))
    return Property((Case(Box(np.full(size, -radius), np.full(size, radius)), (clause,)),), size, 1)


def test_every_operator_of_one_input_that_jumps_is_smoothed() -> None:
    smoothed = {name for name, rule in RULES.items() if rule.smoothed is not None}
    assert smoothed == {name for name, rule in RULES.items() if rule.jumps}


@pytest.mark.parametrize("op", sorted(JUMPS))
def test_a_narrow_smoothed_function_is_the_function_away_from_jumps(op: str) -> None:
    x = torch.tensor([[-1.7, 0.6, 2.2, 0.9], [3.3, -0.6, 0.1, 1.1]], dtype=torch.float64)
    rule, node = RULES[op], node_of(op)
    assert rule.smoothed is not None
    narrow = rule.smoothed(node, x, torch.full((1, 4), 1e-3, dtype=torch.float64))
    torch.testing.assert_close(narrow, rule.forward(node, (), x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("op", ["step", "floor", "round"])
@pytest.mark.parametrize("width", [0.05, 0.3, 2.0])
def test_a_smoothed_function_rises_everywhere(op: str, width: float) -> None:
    x = torch.linspace(-2, 2, 81, dtype=torch.float64)[:, None].requires_grad_()
    rule = RULES[op]
    assert rule.smoothed is not None
    rule.smoothed(node_of(op, 1), x, torch.full((1, 1), width, dtype=x.dtype)).sum().backward()
    assert x.grad is not None and bool((x.grad > 0).all())


@pytest.mark.parametrize("op", ["Sign", "Round", "Floor", "Ceil"])
def test_values_stay_exact_under_smoothing_and_gradients_do_not_vanish(op: str) -> None:
    graph = signs(20, 16, 12, op=op)
    weights, generator = tensors(graph), torch.Generator().manual_seed(1)
    space = space_of(at_least(0.0, 20).cases[0].region, torch.float32, torch.device("cpu"))
    smoothing = measured(graph, weights, space, 16)
    assert set(smoothing.widths) == set(jumping(graph)) and len(jumping(graph)) == 2
    x = space.random(8, generator).requires_grad_()
    y = forward(graph, weights, x, smoothing.scaled(1.0))
    assert torch.equal(y, forward(graph, weights, x))
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert bool((slope != 0).any(1).all())


@pytest.mark.parametrize("seed", range(3))
def test_a_counterexample_behind_layers_of_signs_is_found(seed: int) -> None:
    graph = signs(64, 48, 32, seed=seed)
    drawn = torch.Generator().manual_seed(seed)
    corners = (torch.rand(20_000, 64, generator=drawn) < 0.5).float() * 2 - 1
    most = float(forward(graph, tensors(graph), corners).max())
    property = at_least(most + 0.35, 64)
    found = Attack(graph, tensors(graph), property, AttackSettings(), Clock()).finish()
    assert found is not None and float(found.output[0]) >= most + 0.35


def test_changes_alone_find_what_random_corners_do_not() -> None:
    graph = signs(64, 48, 32)
    drawn = torch.Generator().manual_seed(0)
    corners = (torch.rand(20_000, 64, generator=drawn) < 0.5).float() * 2 - 1
    most = float(forward(graph, tensors(graph), corners).max())
    search = Descent(graph, tensors(graph), at_least(most + 0.3, 64), 0, Replay(graph), [0])
    found = next((each for each in search.flip(400, drawn) if each is not None), None)
    assert found is not None and float(found.output[0]) >= most + 0.3


@pytest.mark.parametrize("shape", [(12,), (1, 6, 6, 3), (3, 5, 8)])
def test_changed_points_stay_in_the_region(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    generator = torch.Generator().manual_seed(0)
    center = np.linspace(-1, 1, size)
    lower = center - np.arange(size) / 10
    for region in (Box(lower, center + 1), Ball(center, 0.5, 2)):
        space = space_of(region, torch.float64, torch.device("cpu"))
        flips = Flips(space, shape, torch.empty(0, size, dtype=torch.float64))
        x = flips.starts(10, generator)
        for share in (0.0, 0.5, 1.0):
            changed = flips.changed(x, share, generator)
            assert changed.shape == (10, size) and bool((changed != x).any())
            assert all(region.contains(region.point(point.numpy() * 0.999999 + center * 1e-6))
                       for point in changed)  # fmt: skip
            x = changed
