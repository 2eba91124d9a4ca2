"""Bounds of Jacobians and Lipschitz constants, against sampling, enumeration and plain products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import boundmesh
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.jacobian.bounds import backward_of
from boundmesh.jacobian.layers import matrix, of_layers
from boundmesh.jacobian.lipschitz import sample
from boundmesh.jacobian.norms import of_any, of_positive
from boundmesh.operators import RULES
from boundmesh.operators.derivatives import SLOPES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from tests.networks import conv_net, mlp, resnet


def gated() -> Graph:
    """A product of two branches, `silu(Wx)·tanh(Vx)`, and a sum of its elements."""
    rng, build = np.random.default_rng(4), Builder()
    x = build.input((1, 4))
    a, b = (build.add("linear", x, weights=(rng.normal(size=(5, 4)),)) for _ in range(2))
    silu = build.add("multiply", a, build.add("sigmoid", a))
    y = build.add("multiply", silu, build.add("tanh", b))
    y = build.add("linear", build.add("subtract", y, a), weights=(rng.normal(size=(3, 5)),))
    return build.graph(y, (Port("x", (1, 4)),), (Port("y", y.shape),))


def pooled() -> Graph:
    """A convolution, the maxima of overlapping windows, a padding, a slice and a selection."""
    rng, build = np.random.default_rng(6), Builder()
    x = build.input((1, 1, 4, 4))
    y = build.add(
        "conv", x, weights=(rng.normal(size=(2, 1, 3, 3)),), stride=(1, 1), dilation=(1, 1),
        padding=((1, 1), (1, 1)), groups=1,
    )  # fmt: skip
    y = build.reshape(y, (1, 2, 16))
    y = build.add("gather", y, axis=2, index=(0, 1, 4, 5, 1, 2, 5, 6, 10, 11, 14, 15))
    y = build.add("max", build.reshape(y, (1, 2, 3, 4)), axis=3)
    y = build.add("pad", y, padding=((0, 0), (0, 0), (1, 2)), value=0.0)
    y = build.add("slice", y, ranges=((0, 1, 1), (0, 2, 1), (1, 6, 2)))
    y = build.add("gather", y, axis=1, index=(1, 0, 1))
    y = build.add("linear", build.reshape(y, (1, y.size)), weights=(rng.normal(size=(2, y.size)),))
    return build.graph(y, (Port("x", (1, 1, 4, 4)),), (Port("y", y.shape),))


NETWORKS: dict[str, Graph] = {
    "relu": mlp(4, 8, 6, 3), "tanh": mlp(4, 6, 3, activation="tanh"), "conv": conv_net(),
    "sigmoid": mlp(3, 6, 5, 2, activation="sigmoid"), "residual": resnet(), "gated": gated(),
    "gelu": mlp(3, 5, 2, activation="gelu"), "softplus": mlp(3, 5, 2, activation="softplus"),
    "pooled": pooled(), "silu": mlp(3, 5, 4, 2, activation="silu"),
    "exp": mlp(2, 4, 2, activation="exp"), "abs": mlp(3, 5, 2, activation="abs"),
}  # fmt: skip


def region_of(graph: Graph, eps: float = 0.1) -> boundmesh.Box:
    shape = graph[graph.input].shape
    return boundmesh.Box.around(np.random.default_rng(1).normal(size=shape), eps)


def jacobians(graph: Graph, points: Tensor) -> Tensor:
    """The Jacobians at points, by autograd in float64, `[N, outputs, inputs]`."""
    weights = tensors(graph, torch.float64)

    def flat(x: Tensor) -> Tensor:
        return forward(graph, weights, x.reshape(1, *points.shape[1:])).flatten()

    found = [torch.autograd.functional.jacobian(flat, point.flatten()) for point in points]
    return torch.stack([torch.as_tensor(each) for each in found])


@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown"])
@pytest.mark.parametrize("name", NETWORKS)
def test_sampled_jacobians_lie_inside(name: str, method: str) -> None:
    graph = NETWORKS[name]
    region = region_of(graph)
    found = boundmesh.jacobian(graph, region, method=method)
    known = jacobians(graph, sample(region, 20, graph[graph.input].shape)).numpy()
    assert np.all(known >= found.lower - 1e-12) and np.all(known <= found.upper + 1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_point_the_bounds_are_the_jacobian(name: str) -> None:
    graph = NETWORKS[name]
    region = region_of(graph, 0.0)
    found = boundmesh.jacobian(graph, region)
    known = jacobians(graph, torch.from_numpy(region.lower)[None]).numpy()[0]
    np.testing.assert_allclose(found.lower, known, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.upper, known, rtol=1e-6, atol=1e-6)


def test_crown_is_tighter_than_intervals() -> None:
    graph = NETWORKS["relu"]
    region = region_of(graph, 0.4)
    widths = [
        (found.upper - found.lower).sum()
        for found in (boundmesh.jacobian(graph, region, method=m) for m in ("ibp", "crown"))
    ]
    assert widths[1] < widths[0]


def test_a_network_of_one_layer_gets_the_range_over_all_patterns_of_its_activations() -> None:
    graph = mlp(2, 5, 2)
    region = boundmesh.Box([[-5.0, -5.0]], [[5.0, 5.0]])
    found = boundmesh.jacobian(graph, region)
    first, second = (graph.weights[n.weights[0]] for n in graph.nodes if n.op == "linear")
    patterns = itertools.product((0.0, 1.0), repeat=5)
    known = np.stack([second @ np.diag(pattern) @ first for pattern in patterns])
    np.testing.assert_allclose(found.lower, known.min(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.upper, known.max(0), rtol=1e-6, atol=1e-6)


def test_in_one_dimension_the_constant_is_the_steepest_piece() -> None:
    """`f(x) = relu(x) − 3·relu(x − 1)` has the slopes 0, 1 and −2."""
    build = Builder()
    x = build.input((1, 1))
    weights = np.array([[1.0], [1.0]]), np.array([0.0, -1.0])
    h = build.add("relu", build.add("linear", x, weights=weights))
    y = build.add("linear", h, weights=(np.array([[1.0, -3.0]]),))
    graph = build.graph(y, (Port("x", (1, 1)),), (Port("y", (1, 1)),))
    for low, high, slope in ((-2, -1, 0), (0.1, 0.9, 1), (1.1, 3, 2), (0.5, 3, 2)):
        found = boundmesh.lipschitz(graph, boundmesh.Box([[low]], [[high]]))
        assert slope <= found.upper <= slope + 1e-9


@pytest.mark.parametrize("norm", [1, 2, math.inf])
@pytest.mark.parametrize("name", ["relu", "sigmoid", "conv", "gated"])
def test_quotients_of_differences_stay_below_the_constant(name: str, norm: float) -> None:
    graph = NETWORKS[name]
    region = region_of(graph)
    found = boundmesh.lipschitz(graph, region, norm=norm)
    assert 0 < found.sampled <= found.upper
    points = sample(region, 400, graph[graph.input].shape)
    values = forward(graph, tensors(graph, torch.float64), points).flatten(1).numpy()
    there = points.flatten(1).numpy()
    up = np.linalg.norm(values[:200] - values[200:], ord=norm, axis=1)
    across = np.linalg.norm(there[:200] - there[200:], ord=norm, axis=1)
    assert np.all(up <= found.upper * across)


@pytest.mark.parametrize("norm", [1, 2, math.inf])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_the_constant_is_never_above_the_product_of_the_norms_of_the_layers(
    activation: str, norm: float
) -> None:
    """Each seed has a network of its own widths; regions from small to large, where slopes vary."""
    steepest = 0.25 if activation == "sigmoid" else 1.0
    for seed, reach in itertools.product(range(4), (0.05, 1.0, 20.0)):
        widths = np.random.default_rng(seed).integers(2, 12, size=seed + 3).tolist()
        graph = mlp(*widths, seed=seed, activation=activation)
        region = region_of(graph, reach)
        found = boundmesh.lipschitz(graph, region, norm=norm, method="ibp", samples=8)
        layers = [graph.weights[n.weights[0]] for n in graph.nodes if n.op == "linear"]
        product = math.prod(float(np.linalg.norm(w.astype(float), ord=norm)) for w in layers)
        product *= steepest ** (len(layers) - 1)
        assert found.sampled <= found.upper * (1 + 1e-12)
        assert found.upper <= product * (1 + 1e-9)


@pytest.mark.parametrize("name", ["conv", "residual", "gated", "pooled"])
def test_the_constant_of_layers_with_branches_lies_above_quotients(name: str) -> None:
    graph = NETWORKS[name]
    region = region_of(graph)
    slopes = backward_of(graph, region, "crown", {}).slopes
    points = sample(region, 400, graph[graph.input].shape)
    values = forward(graph, tensors(graph, torch.float64), points).flatten(1).numpy()
    there = points.flatten(1).numpy()
    for norm in (1, 2, math.inf):
        up = np.linalg.norm(values[:200] - values[200:], ord=norm, axis=1)
        across = np.linalg.norm(there[:200] - there[200:], ord=norm, axis=1)
        assert np.all(up <= of_layers(graph, slopes, norm) * across)


def test_the_matrix_of_an_affine_layer_maps_differences_of_its_inputs() -> None:
    rng = np.random.default_rng(0)
    graph = NETWORKS["pooled"]
    for node in graph.nodes:
        if node.is_input or not RULES[node.op].affine:
            continue
        weights = [torch.from_numpy(graph.weights[name]).double() for name in node.weights]
        a, b = (torch.from_numpy(rng.normal(size=(1, *node.input_shapes[0]))) for _ in range(2))
        moved = (RULES[node.op].forward(node, weights, each).flatten() for each in (a, b))
        there = matrix(node, weights, 0) @ (a - b).flatten().numpy()
        assert np.allclose(torch.sub(*moved).numpy(), there)


def test_a_ball_is_a_region_too() -> None:
    graph = NETWORKS["relu"]
    ball = boundmesh.Ball(np.zeros((1, 4)), 0.3, 2)
    found = boundmesh.lipschitz(graph, ball, norm=2)
    assert found.sampled <= found.upper


CURVES: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, float]]] = {
    "relu": (torch.relu, {}),
    "leaky_relu": (lambda x: torch.where(x >= 0, x, 0.2 * x), {"slope": 0.2}),
    "abs": (torch.abs, {}), "sigmoid": (torch.sigmoid, {}), "tanh": (torch.tanh, {}),
    "exp": (torch.exp, {}), "log": (torch.log, {}), "sqrt": (torch.sqrt, {}),
    "reciprocal": (torch.reciprocal, {}), "sin": (torch.sin, {}), "cos": (torch.cos, {}),
    "power": (lambda x: x**3, {"exponent": 3.0}),
    "at_least": (lambda x: x.clamp(min=0.4), {"bend": 0.4}),
    "at_most": (lambda x: x.clamp(max=0.4), {"bend": 0.4}),
    "softplus": (torch.nn.functional.softplus, {}), "silu": (torch.nn.functional.silu, {}),
    "elu": (lambda x: torch.nn.functional.elu(x, 0.7), {"alpha": 0.7}),
    "gelu": (torch.nn.functional.gelu, {}), "mish": (torch.nn.functional.mish, {}),
    "hard_swish": (torch.nn.functional.hardswish, {}), "erf": (torch.erf, {}),
    "gelu_tanh": (lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
                  {"factor": math.sqrt(2 / math.pi), "cubic": 0.044715}),
    "atan": (torch.atan, {}), "softsign": (torch.nn.functional.softsign, {}),
    "asinh": (torch.asinh, {}),
}  # fmt: skip


@pytest.mark.parametrize("op", CURVES)
def test_quotients_of_differences_lie_in_the_range_of_slopes(op: str) -> None:
    function, attributes = CURVES[op]
    torch.manual_seed(0)
    reach, least = (4, 0.1) if op in ("log", "sqrt", "reciprocal") else (9, -4.5)
    ends = torch.rand(2, 300, dtype=torch.float64) * reach + least
    low, high = ends.amin(0), ends.amax(0)
    node = Node("f", op, ("x",), (300,), ((300,),), attributes)
    (found,) = SLOPES[op](node, (Interval(low, high),))
    points = low + torch.linspace(0, 1, 60, dtype=torch.float64)[:, None] * (high - low)
    quotients = function(points).diff(dim=0) / points.diff(dim=0)
    assert bool(((quotients >= found.lower - 1e-9) & (quotients <= found.upper + 1e-9)).all())
    tight = (found.upper - found.lower) - (quotients.amax(0) - quotients.amin(0))
    assert op in ("sin", "cos") or float(tight.median()) < 0.2 * (1 + float(found.upper.median()))


def test_norms_of_matrices_are_bounded_closely() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 7), (20, 5), (520, 700), (530, 515)):
        matrix = rng.normal(size=shape)
        for found, known in ((of_any(matrix), matrix), (of_positive(abs(matrix)), abs(matrix))):
            exact = np.linalg.norm(known, ord=2)
            assert exact <= found <= exact * (1 + 1e-6)


def test_an_operator_without_a_jacobian_is_refused_by_name() -> None:
    build = Builder()
    x = build.input((1, 2))
    y = build.add("floor", x)
    graph = build.graph(y, (Port("x", (1, 2)),), (Port("y", (1, 2)),))
    with pytest.raises(boundmesh.BoundmeshError, match="floor"):
        boundmesh.jacobian(graph, boundmesh.Box([[0, 0]], [[2, 2]]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": 3}, "expected 1, 2 or inf"),
        ({"norm": [2]}, "expected 1, 2 or inf"),
        ({"method": "best"}, "method is"),
        ({"samples": -1}, "samples is"),
        ({"rounding": "trust"}, "count all rounding"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, object], said: str) -> None:
    graph = NETWORKS["relu"]
    with pytest.raises(boundmesh.BoundmeshError, match=said):
        boundmesh.lipschitz(graph, region_of(graph), **options)


def test_a_slope_without_a_bound_is_refused() -> None:
    build = Builder()
    x = build.input((1, 1))
    y = build.add("sqrt", x)
    graph = build.graph(y, (Port("x", (1, 1)),), (Port("y", (1, 1)),))
    with pytest.raises(boundmesh.BoundmeshError, match="not bounded"):
        boundmesh.jacobian(graph, boundmesh.Box([[0.0]], [[1.0]]))
