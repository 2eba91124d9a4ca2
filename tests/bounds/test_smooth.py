"""Networks of functions with limited domains: bounds are numbers, and hold, at every radius."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
import torch

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads

BODIES = {
    "reciprocal": "s = Mul(h, h) t = Add(s, one) y = Reciprocal(t)",
    "rms_norm": "p = Pow(h, two) s = ReduceMean<axes=[1]>(p) t = Add(s, tiny) r = Sqrt(t) "
                "y = Div(h, r)",
    "layer_norm": "m = ReduceMean<axes=[1]>(h) d = Sub(h, m) q = Mul(d, d) "
                  "s = ReduceMean<axes=[1]>(q) t = Add(s, tiny) r = Sqrt(t) y = Div(d, r)",
    "norm": "y = ReduceL2<axes=[1]>(h)",
    "softplus": "e = Exp(h) t = Add(e, one) y = Log(t)",
    "softmax": "y = Softmax<axis=1>(h)",
    "squares": "p = Pow(h, two) s = Neg(p) e = Exp(s) t = Sub(two, e) r = Sqrt(t) l = Log(r) "
               "y = Add(l, one)",
    "pool": "p = Pow(h, two) c = Unsqueeze(p, axis) a = AveragePool<kernel_shape=[3]>(c) "
            "r = Sqrt(a) y = Flatten(r)",
    "sizes": "a = Abs(h) m = MatMul(a, v) r = Sqrt(m) l = Sqrt(r) y = Add(l, one)",
    "root_of_relu": "p = Relu(h) r = Sqrt(p) y = Add(r, h)",
}  # fmt: skip


def network(body: str, scale: float = 1.0) -> Graph:
    """A random layer of 3 inputs and 4 outputs, and what `body` makes of its output h."""
    weight = scale * np.random.default_rng(1).normal(size=(3, 4))
    numbers = ", ".join(f"{value:.6g}" for value in weight.ravel())
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, 3] x) => (float[1, n] y)
    <float[3, 4] w = {{{numbers}}}, float one = {{1}}, float two = {{2}}, float tiny = {{1e-5}},
     int64[1] axis = {{1}}, float[4, 2] v = {{0.1, 0.3, 0.7, 0, 0.2, 0.1, 0.9, 1}}>
    {{ h = MatMul(x, w) {body} }}"""
    return loads(onnx.parser.parse_model(text).SerializeToString())


def of(graph: Graph, radius: float, method: str) -> boundmesh.Bounds:
    box = boundmesh.Box(np.full(3, -radius), np.full(3, radius))
    return boundmesh.bounds(graph, box, method=method, iterations=3)


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize("name", BODIES)
def test_bounds_are_finite_and_contain_samples(name: str, method: str) -> None:
    graph = network(BODIES[name])
    weights = tensors(graph, torch.float64)
    for radius in (0.0, 0.05, 2.0, 20.0):
        found = of(graph, radius, method)
        assert np.isfinite(found.lower).all() and np.isfinite(found.upper).all()
        x = np.random.default_rng(0).uniform(-radius, radius, (200, 3))
        y = forward(graph, weights, torch.from_numpy(x)).flatten(1).numpy()
        assert (found.lower <= y).all() and (y <= found.upper).all()


@pytest.mark.parametrize("name", BODIES)
def test_alpha_crown_is_never_wider_than_the_interval(name: str) -> None:
    graph = network(BODIES[name])
    for radius in (0.05, 2.0):
        interval, alpha = (of(graph, radius, method) for method in ("ibp", "alpha-crown"))
        assert (alpha.lower >= interval.lower).all() and (alpha.upper <= interval.upper).all()
