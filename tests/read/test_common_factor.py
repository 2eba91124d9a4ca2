"""Normalised values keep their common factor: the rewritten graph is the same function, and bounds
of it hold and are tighter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx.parser
import pytest
import torch
from torch import Tensor

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.proof.guarantee import for_bounds
from boundmesh.read.common_factor import keep_common_factors
from boundmesh.read.onnx import loads
from boundmesh.settings import Settings

CENTRED = "m = ReduceMean<axes=[1]>(h) d = Sub(h, m) "
BODIES = {
    "LayerNormalization": "y = LayerNormalization(h, gain, offset)",
    "LayerNorm of parts": CENTRED + "q = Pow(d, two) s = ReduceMean<axes=[1]>(q) t = Add(s, tiny) "
                          "r = Sqrt(t) e = Div(d, r) f = Mul(e, gain) y = Add(f, offset)",
    "differences twice": CENTRED + "c = Sub(h, m) q = Mul(c, c) s = ReduceMean<axes=[1]>(q) "
                         "t = Add(s, tiny) r = Sqrt(t) y = Div(d, r)",
    "RMSNorm": "q = Mul(h, h) s = ReduceMean<axes=[1]>(q) t = Add(s, tiny) r = Sqrt(t) "
               "i = Div(one, r) y = Mul(i, h)",
    "2-norm": "r = ReduceL2<axes=[1]>(h) t = Add(tiny, tiny) y = Div(h, r)",
}  # fmt: skip
OTHER = {
    "norm of another value": "q = Mul(o, o) s = ReduceMean<axes=[1]>(q) t = Add(s, tiny) "
                             "r = Sqrt(t) y = Div(h, r)",
    "third powers": "c = Mul(h, h) q = Mul(c, h) s = ReduceSum<keepdims=1>(q) t = Add(s, tiny) "
                    "r = Sqrt(t) y = Div(h, r)",
}  # fmt: skip


def network(body: str, wide: int = 6) -> Graph:
    """Random layers of 3 inputs and `wide` neurons h and o, the body, and a layer of 2 outputs."""
    random = np.random.default_rng(1)

    def array(name: str, *shape: int) -> str:
        numbers = ", ".join(f"{value:.6g}" for value in random.normal(size=shape).ravel())
        return f"float[{','.join(map(str, shape))}] {name} = {{{numbers}}}"

    held = (array("w", 3, wide), array("u", 3, wide), array("v", wide, 2), array("b", 2),
            array("gain", wide), array("offset", wide))  # fmt: skip
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, 3] x) => (float[1, n] z)
    <{", ".join(held)}, float one = {{1}}, float two = {{2}}, float tiny = {{1e-3}}>
    {{ h = MatMul(x, w) o = MatMul(x, u) {body} p = MatMul(y, v) z = Add(p, b) }}"""
    return loads(onnx.parser.parse_model(text).SerializeToString())


def values(graph: Graph, x: Tensor) -> np.ndarray:
    found: np.ndarray = forward(graph, tensors(graph, torch.float64), x).flatten(1).numpy()
    return found


def inputs(radius: float, center: float = 0.3, count: int = 400) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(center + radius * random.uniform(-1, 1, (count, 1, 3)))


def limits(graph: Graph) -> list[np.ndarray]:
    return [np.asarray(n["limit"]) for n in graph.nodes if "limit" in n.attributes and
            n.op == "multiply"]  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_the_rewritten_graph_computes_the_same(name: str) -> None:
    graph = network(BODIES[name])
    kept = keep_common_factors(graph)
    assert limits(kept) and kept.output == graph.output
    x = inputs(3.0)
    np.testing.assert_allclose(values(kept, x), values(graph, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OTHER)
def test_other_quotients_stay_as_they_are(name: str) -> None:
    graph = network(OTHER[name])
    assert keep_common_factors(graph) is graph


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize("name", BODIES)
def test_bounds_contain_samples(name: str, method: str) -> None:
    graph = network(BODIES[name])
    # The 2-norm has no bound around zero.
    center = 10.0 if name == "2-norm" else 0.3
    for radius in (0.0, 0.05, 0.5, 5.0):
        box = boundmesh.Box(np.full(3, center - radius), np.full(3, center + radius))
        found = boundmesh.bounds(graph, box, method=method, iterations=3)
        y = values(graph, inputs(radius, center))
        assert np.isfinite(found.lower).all() and np.isfinite(found.upper).all()
        assert (found.lower <= y).all() and (y <= found.upper).all()


def width(graph: Graph, radius: float, rounding: str) -> float:
    box = boundmesh.Box(np.full(3, 0.3 - radius), np.full(3, 0.3 + radius))
    settings = {"method": "crown", "dtype": "float64", "rounding": rounding}
    found = boundmesh.bounds(graph, box, **settings)
    return float((found.upper - found.lower).mean())


@pytest.mark.parametrize("name", ["LayerNorm of parts", "RMSNorm", "differences twice"])
@pytest.mark.parametrize("radius", [0.05, 0.3, 1.0])
def test_bounds_in_real_arithmetic_are_tighter_than_those_of_the_parts(
    name: str, radius: float
) -> None:
    """A float64 run keeps the parts, and its rounding is far smaller than the difference."""
    graph = network(BODIES[name])
    assert width(graph, radius, "real") < 0.99 * width(graph, radius, "float64")


def test_limits_hold_and_are_reached() -> None:
    """The weights in the direction of a normalised value give the largest product."""
    graph = keep_common_factors(network(BODIES["LayerNorm of parts"], 3))
    (product,) = (node for node in graph.nodes if node.op == "multiply")
    until = Graph(
        graph.nodes[: graph.position[product.name] + 1], graph.input, product.name, graph.weights,
        graph.inputs, (),
    )  # fmt: skip
    share = np.abs(values(until, inputs(1e4, count=20000))) / np.asarray(product["limit"]).ravel()
    assert share.max() <= 1
    assert (share.max(0) > 0.99).all()


def test_a_run_in_floating_point_keeps_the_operations_of_the_file() -> None:
    graph = network(BODIES["RMSNorm"])
    assert for_bounds(graph, Settings(rounding="float32")) is graph
    assert for_bounds(graph, Settings(rounding="real")) is not graph


def module(build: Callable[[], torch.nn.Module], *shape: int) -> Graph:
    torch.manual_seed(0)
    made = build().eval()
    for parameter in made.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    return boundmesh.from_torch(made, torch.zeros(1, *shape))


def test_a_transformer_layer_of_torch_keeps_its_factors() -> None:
    graph = module(
        lambda: torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True), 3, 8
    )
    kept = keep_common_factors(graph)
    assert len(limits(kept)) == 2
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(20, *graph[graph.input].shape)))
    np.testing.assert_allclose(values(kept, x), values(graph, x), rtol=1e-10, atol=1e-10)
