"""Vectors divided by their norm have bounds within ±1 over every region, and tight ones far from
zero."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES, Interval
from boundmesh.operators.node import Node
from boundmesh.proof.guarantee import for_bounds
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.onnx import loads
from boundmesh.settings import Settings
from boundmesh.verdict import Verified

BODIES = {
    "LpNormalization of 1": "y = LpNormalization<p=1, axis=1>(x)",
    "LpNormalization of 2": "y = LpNormalization<p=2, axis=1>(x)",
    "1-norm and a maximum": "n = ReduceL1<axes=[1]>(x) m = Clip(n, tiny) y = Div(x, m)",
    "2-norm and a maximum": "n = ReduceL2<axes=[1]>(x) m = Clip(n, tiny) y = Div(x, m)",
    "largest and a maximum": "a = Abs(x) n = ReduceMax<axes=[1]>(a) m = Clip(n, tiny) "
                             "y = Div(x, m)",
    "1-norm and a sum": "n = ReduceL1<axes=[1]>(x) m = Add(n, small) y = Div(x, m)",
    "2-norm and a sum": "n = ReduceL2<axes=[1]>(x) m = Add(n, small) y = Div(x, m)",
    "root of a sum": "q = Mul(x, x) s = ReduceSum(q, axes) t = Add(s, tiny) m = Sqrt(t) "
                     "y = Div(x, m)",
    "half and half": "n = ReduceL2<axes=[1]>(x) h = Mul(n, two) m = Mul(h, half) k = Add(m, small) "
                     "y = Div(x, k)",
}  # fmt: skip
BOXES = {
    "around zero": (-np.ones(3), np.ones(3)),
    "above zero": (np.zeros(3), np.ones(3)),
    "next to zero": (np.full(3, -1e-14), np.full(3, 2e-14)),
    "zero": (np.zeros(3), np.zeros(3)),
    "of any sign": (np.array([-1.0, 0.5, -2.0]), np.array([-0.5, 0.6, 2.0])),
    "far": (np.array([0.9, -1.1, 1.9]), np.array([1.0, -1.0, 2.0])),
}


def network(body: str, shape: str = "1, 3") -> Graph:
    text = f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[{shape}] x) => (float[{shape}] y)
    <float tiny = {{1e-12}}, float small = {{1e-5}}, float half = {{0.5}}, float two = {{2}},
    int64[1] axes = {{1}}>
    {{ {body} }}"""
    # ReduceSum of opset 13 reads its axes from an operand; the other reductions have attributes.
    return loads(onnx.parser.parse_model(text).SerializeToString())


def values(graph: Graph, x: Tensor) -> np.ndarray:
    found: np.ndarray = forward(graph, tensors(graph, torch.float64), x).flatten(1).numpy()
    return found


def drawn(lower: np.ndarray, upper: np.ndarray, count: int = 300) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(lower + (upper - lower) * random.random((count, 1, lower.size)))


@pytest.mark.parametrize("place", BOXES)
@pytest.mark.parametrize("name", BODIES)
def test_bounds_of_directions_hold_and_stay_within_one(name: str, place: str) -> None:
    graph, (lower, upper) = network(BODIES[name]), BOXES[place]
    y = values(graph, drawn(lower, upper))
    for method in ("ibp", "crown"):
        found = boundmesh.bounds(graph, Box(lower, upper), method=method)
        low, high = found.lower.reshape(-1), found.upper.reshape(-1)
        assert (low <= y + 1e-6).all() and (y <= high + 1e-6).all()
        assert (low >= -1.001).all() and (high <= 1.001).all()
        # A number of one sign stays one.
        assert (high[upper <= 0] <= 1e-6).all() and (low[lower >= 0] >= -1e-6).all()
        if place == "far" and method == "crown":
            # CROWN's bounds are little wider than what the network gives.
            assert (high - low <= 1.3 * (y.max(0) - y.min(0)) + 1e-3).all()


@pytest.mark.parametrize("name", BODIES)
def test_the_graph_for_bounds_computes_the_same(name: str) -> None:
    graph = network(BODIES[name])
    rewritten = for_bounds(graph, Settings(rounding="real"))
    (product,) = (node for node in rewritten.nodes if node.op == "multiply")
    assert float(product["limit"]) == pytest.approx(1, abs=1e-5)
    for lower, upper in BOXES.values():
        if np.abs(upper).max() >= 1e-8:
            x = drawn(lower, upper)
            np.testing.assert_allclose(values(rewritten, x), values(graph, x), rtol=1e-12)


def test_quotients_by_other_numbers_have_no_limit() -> None:
    for body in (
        "n = ReduceL2<axes=[0]>(x) m = Clip(n, tiny) y = Div(x, m)",
        "z = Add(x, x) w = Add(z, half) n = ReduceL1<axes=[1]>(w) m = Add(n, small) y = Div(x, m)",
        "n = ReduceL1<axes=[1]>(x) s = Sqrt(n) m = Add(s, small) y = Div(x, m)",
        "n = ReduceL2<axes=[1]>(x) m = Sub(n, small) y = Div(x, m)",
    ):
        graph = for_bounds(network(body, "2, 3"), Settings(rounding="real"))
        limits = [float(node["limit"]) for node in graph.nodes if "limit" in node.attributes]
        assert not limits or "axes=[0]" in body


@pytest.mark.parametrize("p", [1.0, 2.0, float("inf")])
def test_normalize_of_pytorch_is_bounded_along_any_axis(p: float) -> None:
    class Normalize(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.normalize(x, p=p, dim=1)

    graph = boundmesh.from_torch(Normalize(), torch.rand(1, 2, 2, 1))
    for lower, upper in ((-np.ones(4), np.ones(4)), (np.full(4, 0.9), np.ones(4))):
        found = boundmesh.bounds(graph, Box(lower, upper), method="crown")
        x = drawn(lower, upper).reshape(-1, 2, 2, 1)
        y = functional.normalize(x, p=p, dim=1).flatten(1).numpy()
        assert (found.lower.reshape(-1) <= y + 1e-6).all()
        assert (y <= found.upper.reshape(-1) + 1e-6).all()
        assert np.abs([found.lower, found.upper]).max() <= 1.001


def test_a_cosine_similarity_is_bounded_by_one() -> None:
    class Cosine(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.cosine_similarity(x, torch.tensor([[1.0, 2.0, -1.0]]), dim=1)

    graph = boundmesh.from_torch(Cosine(), torch.rand(1, 3))
    found = boundmesh.bounds(graph, Box(-np.ones(3), np.ones(3)), method="crown")
    assert found.lower.min() >= -1.001 and found.upper.max() <= 1.001


@pytest.mark.parametrize("p", [1, 2])
def test_directions_of_a_region_with_zero_are_proved_to_be_short(p: int) -> None:
    graph = network(BODIES[f"LpNormalization of {p}"])
    region = Box(-np.ones(3), np.ones(3))
    beyond = Case(region, (Clause((Atom((), ((0, -1.0),), -1.01),)),))
    settings = Settings(rounding="real", timeout=20)
    assert isinstance(boundmesh.verify(graph, Property((beyond,), 3, 3), settings=settings).verdict,
                      Verified)  # fmt: skip


@pytest.mark.parametrize("ends", [(-0.5, 0.3), (0.1, 0.4), (-0.4, -0.1), (0.0, 0.2)])
def test_lines_beyond_a_ceiling_hold_for_factors_of_any_size(ends: tuple[float, float]) -> None:
    """The second factor stands for one that is anything above it, as long as the limit holds."""
    ceiling, limit, least = 2.0**10, 1.0, 1.5
    node = Node("n", "multiply", ("x", "s"), (1,), ((1,), (1,)),
                {"limit": limit, "ceiling": ceiling})  # fmt: skip
    boxes = tuple(
        Interval(*(torch.tensor([[end]], dtype=torch.float64) for end in pair))
        for pair in (ends, (least, ceiling))
    )
    rule = RULES["multiply"]
    interval = rule.interval(node, (), *boxes)
    assert rule.relax is not None
    lines = rule.relax(node, boxes, torch.full((1, 1, 1), 0.3, dtype=torch.float64))
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    x = torch.linspace(*ends, 101, dtype=torch.float64).reshape(-1, 1)
    size = torch.logspace(0, 15, 91, base=10, dtype=torch.float64) * least
    y = x * size
    held = y.abs() <= limit
    # What the graph computes in the factor's place is cut off at the ceiling.
    s = size.clamp(max=ceiling)
    for value in (
        lines.lower_slopes[0] * x + lines.lower_slopes[1] * s + lines.lower_intercept,
        interval.lower + 0 * y,
    ):
        assert bool((value.reshape(y.shape) <= y + 1e-12)[held].all())
    for value in (
        lines.upper_slopes[0] * x + lines.upper_slopes[1] * s + lines.upper_intercept,
        interval.upper + 0 * y,
    ):
        assert bool((value.reshape(y.shape) >= y - 1e-12)[held].all())
