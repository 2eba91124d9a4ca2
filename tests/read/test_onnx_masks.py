"""Positions that a network hides from its softmax by −∞."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import boundmesh
from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import Runtime

MASKED = {
    "where": "q = Where(hidden, ninf, h) y = Softmax<axis=-1>(q)",
    "where_else": "n = Not(hidden) q = Where(n, h, ninf) y = Softmax<axis=-1>(q)",
    "add": "q = Add(h, mask) y = Softmax<axis=-1>(q)",
    "add_then_scale": "q = Add(mask, h) s = Mul(q, two) y = Softmax<axis=-1>(s)",
    "moved": "q = Add(h, mask) t = Transpose<perm=[1, 0]>(q) y = Softmax<axis=0>(t)",
    "reshaped": "q = Add(h, mask) r = Reshape(q, shape) y = Softmax<axis=2>(r)",
    "twice": "q = Add(h, mask) r = Where(other, ninf, q) y = Softmax<axis=-1>(r)",
    "guarded": "q = Add(h, mask) p = Softmax<axis=-1>(q) n = IsNaN(p) y = Where(n, zero, p)",
}


def network(body: str) -> Graph:
    weight = ", ".join(f"{value:.4g}" for value in np.random.default_rng(1).normal(size=12))
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[2, 3] x) => (float[n, m] y)
    <float[3, 4] w = {{{weight}}}, bool[1, 4] hidden = {{0, 1, 0, 0}}, float zero = {{0}},
     bool[2, 1] other_rows = {{0, 0}}, bool[2, 4] other = {{0, 0, 1, 0, 0, 0, 0, 1}},
     float[2, 4] mask = {{0, 0, -inf, 0, 0.5, -inf, -inf, 0}}, float ninf = {{-inf}},
     float two = {{2}}, int64[3] shape = {{2, 1, 4}}>
    {{ h = MatMul(x, w) {body} }}"""
    return loads(onnx.parser.parse_model(text).SerializeToString())


@pytest.mark.parametrize("name", MASKED)
def test_hidden_elements_are_zero_and_bounds_contain_the_others(name: str) -> None:
    graph = network(MASKED[name])
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 6)).astype(np.float32)
    y = np.stack([Runtime(graph)(each) for each in x])
    box = boundmesh.Box(np.full(6, -0.5), np.full(6, 0.5))
    assert (y == 0).all(0).any()
    for method in ("ibp", "alpha-crown"):
        found = boundmesh.bounds(graph, box, method=method, iterations=3)
        assert (found.lower <= y + 1e-6).all() and (y - 1e-6 <= found.upper).all()
        assert np.isfinite(found.lower).all() and (found.upper <= 1 + 1e-4).all()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("q = Add(h, mask) y = Relu(q)", "only a Softmax can use"),
        ("q = Where(hidden, ninf, h) m = Mul(q, minus) y = Softmax(m)", "only a Softmax can use"),
        ("q = Add(h, ninf) y = Softmax(q)", "every element of a row"),
    ],
)
def test_other_uses_of_minus_infinity_are_refused(body: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        network(f"minus = Constant<value_float=-1.0>() {body}")
