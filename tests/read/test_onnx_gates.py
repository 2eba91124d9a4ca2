"""Products `x·gate(x)` become one operator, however the file spells them."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
import torch

from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import Runtime

SPELLINGS = {
    "divided": ("d = Div(x, root) e = Erf(d) p = Add(e, one) m = Mul(x, p) y = Mul(m, half)",
                "gelu"),
    "multiplied": ("d = Mul(x, inverse) e = Erf(d) p = Add(one, e) h = Mul(half, x) y = Mul(h, p)",
                   "gelu"),
    "gate_first": ("d = Div(x, root) e = Erf(d) p = Add(e, one) h = Mul(p, half) y = Mul(h, x)",
                   "gelu"),
    "tanh": ("c = Pow(x, three) k = Mul(c, cubic) s = Add(x, k) t = Mul(s, factor) u = Tanh(t) "
             "p = Add(u, one) m = Mul(x, p) y = Mul(m, half)", "gelu_tanh"),
    "silu": ("g = Sigmoid(x) y = Mul(x, g)", "silu"),
    "swish": ("k = Mul(x, three) g = Sigmoid(k) y = Mul(g, x)", "silu"),
    "mish": ("s = Softplus(x) t = Tanh(s) y = Mul(x, t)", "mish"),
    "softplus": ("e = Exp(x) p = Add(e, one) y = Log(p)", "softplus"),
    "log_sigmoid": ("s = Sigmoid(x) y = Log(s)", "softplus"),
    "softsign": ("a = Abs(x) p = Add(a, one) y = Div(x, p)", "softsign"),
    "other_value": ("n = Neg(x) g = Sigmoid(n) y = Mul(x, g)", "multiply"),
    "other_number": ("d = Div(x, root) e = Erf(d) p = Add(e, half) y = Mul(x, p)", "multiply"),
}  # fmt: skip


def network(body: str) -> Graph:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, 5] x) => (float[1, 5] y)
    <float one = {{1}}, float half = {{0.5}}, float three = {{3}}, float root = {{1.4142135}},
     float inverse = {{0.70710677}}, float cubic = {{0.044715}}, float factor = {{0.7978846}}>
    {{ {body} }}"""
    model = onnx.parser.parse_model(text)
    return loads(model.SerializeToString())


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_gate_is_recognised_and_computes_what_onnx_runtime_computes(name: str) -> None:
    body, op = SPELLINGS[name]
    graph = network(body)
    assert op in [node.op for node in graph.nodes]
    x = np.random.default_rng(0).uniform(-6, 6, (20, 5)).astype(np.float32)
    weights = tensors(graph, torch.float64)
    ours = forward(graph, weights, torch.from_numpy(x).double().reshape(20, 1, 5)).flatten(1)
    theirs = np.stack([Runtime(graph)(each) for each in x])
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("body", ["m = Mul(s, a)", "r = Relu(a) m = Mul(r, s)"])
def test_a_size_times_its_sign_is_the_value(body: str) -> None:
    graph = network(f"a = Abs(x) s = Sign(x) {body} y = Mul(m, three)")
    assert [node.op for node in graph.nodes] == ["input", "scale"]


def test_a_size_times_the_sign_of_another_value_stays_a_product() -> None:
    graph = network("n = Neg(x) a = Abs(x) s = Sign(n) y = Mul(s, a)")
    assert "multiply" in [node.op for node in graph.nodes]
