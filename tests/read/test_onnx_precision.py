"""What boundmesh computes from a file's numbers loses nothing that counts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh.errors import BoundmeshError, ReadError, UnsupportedError
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads


def number(value: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(value, dtype)


def output(graph: Graph, *x: float) -> float:
    point = torch.tensor([x], dtype=torch.float64).reshape(1, *graph[graph.input].shape)
    return forward(graph, tensors(graph, torch.float64), point).item()


def assert_near(found: float, exact: Fraction) -> None:
    assert abs(Fraction(found) - exact) <= Fraction(1, 10**15) * abs(exact)


@pytest.mark.parametrize("limit", [1e4, 1e6])
def test_a_clip_with_large_limits_keeps_every_bit_of_what_it_passes(limit, network):
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        helper.make_node("Clip", ["h", "low", "high"], ["y"]),
    ]
    weight, bias = np.array([[0.3, -1.7]], np.float32), np.array([0.01], np.float32)
    constants = {"w": weight, "b": bias, "low": number(-limit), "high": number(limit)}
    graph = loads(network(nodes, {"x": (1, 2)}, constants=constants))
    x = [Fraction(float(np.float32(value))) for value in (0.6, 0.1)]
    row = [Fraction(float(value)) for value in weight[0]]
    exact = sum((a * b for a, b in zip(row, x, strict=True)), Fraction(float(bias[0])))
    assert_near(output(graph, *map(float, x)), exact)
    assert [node.op for node in graph.nodes] == ["input", "linear", "at_least", "at_most"]


def test_a_constant_divisor_is_inverted_in_float64(network):
    nodes = [helper.make_node("Div", ["x", "three"], ["y"])]
    graph = loads(network(nodes, {"x": (1,)}, constants={"three": number(3)}))
    assert_near(output(graph, 3e6 + 1), Fraction(3000001, 3))
    (how,) = graph.formed.values()
    assert how.depth == 1 and how.size is None


def test_a_divisor_that_is_a_power_of_two_is_inverted_exactly(network):
    nodes = [helper.make_node("Div", ["x", "c"], ["y"])]
    graph = loads(network(nodes, {"x": (1,)}, constants={"c": number(-8)}))
    assert not graph.formed and output(graph, 3.0) == -0.375


def test_batch_normalization_is_computed_in_float64_with_its_rounding(network):
    rng = np.random.default_rng(0)
    parts = {name: rng.uniform(0.5, 2, 3).astype(np.float32) for name in "sbmv"}
    nodes = [helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"])]
    graph = loads(network(nodes, {"x": (1, 3)}, constants=parts))
    scale, shift = (graph[name] for name in [node.name for node in graph.nodes][1:])
    s, b, m, v = ([Fraction(float(value)) for value in parts[name]] for name in "sbmv")
    epsilon = Fraction(float(np.float32(1e-5)))
    for place in range(3):
        c = Fraction(float(graph.weights[scale.weights[0]][place]))
        # c² is rational: the root is what it is checked by.
        assert_near(float(c * c * (v[place] + epsilon)), s[place] ** 2)
        t = Fraction(float(graph.weights[shift.weights[0]][place]))
        assert abs(t - (b[place] - m[place] * c)) <= Fraction(1, 10**15) * (1 + abs(t))
    assert graph.formed[scale.weights[0]].depth == 5
    assert graph.formed[shift.weights[0]].depth == 7


def test_constant_expressions_are_evaluated_in_float64(network):
    nodes = [
        helper.make_node("Sub", ["a", "b"], ["d"]),
        helper.make_node("Mul", ["d", "d"], ["q"]),
        helper.make_node("Unsqueeze", ["q", "axes"], ["u"]),
        helper.make_node("Add", ["x", "u"], ["y"]),
    ]
    a, b = number(1.1), number(0.3)
    constants = {"a": a, "b": b, "axes": np.array([0])}
    graph = loads(network(nodes, {"x": (1,)}, constants=constants))
    exact = (Fraction(float(a)) - Fraction(float(b))) ** 2
    assert_near(output(graph, 0.0), exact)
    (how,) = graph.formed.values()
    assert how.depth == 3
    assert how.size is not None
    np.testing.assert_allclose(how.size, [(1.1 + 0.3) ** 2], rtol=1e-6)


def test_moved_and_chosen_constants_keep_how_they_were_formed(network):
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["p"]),
        helper.make_node("Concat", ["p", "b"], ["c"], axis=0),
        helper.make_node("Slice", ["c", "two", "five"], ["s"]),
        helper.make_node("Max", ["s", "zero"], ["m"]),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3)).astype(np.float32)
    constants = {"a": a, "b": b, "two": np.array([1]), "five": np.array([5]), "zero": number(0)}
    graph = loads(network(nodes, {"x": (4,)}, constants=constants))
    (how,) = graph.formed.values()
    stored = np.concatenate([a.astype(float) * b, b])[1:5]
    assert how.depth == 1 and how.size is not None
    assert (how.size >= np.abs(stored)).all() and how.size == pytest.approx(np.abs(stored))


def test_a_jump_of_a_computed_constant_that_rounding_decides_is_refused(network):
    def ceiling(factor: float) -> Graph:
        nodes = [
            helper.make_node("Mul", ["a", "ten"], ["p"]),
            helper.make_node("Ceil", ["p"], ["c"]),
            helper.make_node("Mul", ["x", "c"], ["y"]),
        ]
        constants = {"a": number(factor), "ten": number(10)}
        return loads(network(nodes, {"x": (1,)}, constants=constants))

    assert output(ceiling(0.33), 1.0) == 4
    # Ten times the float32 0.1 is a little more than 1, which float32 cannot hold.
    with pytest.raises(UnsupportedError, match="depends on how its operands are rounded"):
        ceiling(0.1)


def test_a_constant_operator_of_unknown_rounding_becomes_a_part_of_the_graph(network):
    nodes = [
        helper.make_node("Softmax", ["a"], ["s"]),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    graph = loads(network(nodes, {"x": (1, 2)}, constants={"a": np.float32([[0.1, 0.2]])}))
    assert [node.op for node in graph.nodes] == ["input", "constant", "softmax", "add"]
    assert graph.unbounded == {"Softmax"}


@pytest.mark.parametrize("opset", [10, 13, 19])
def test_quantized_weights_of_every_opset_are_read(opset, network):
    scale = number(0.3) if opset == 10 else np.float32([0.3, 0.7])
    zero = number(-3, np.int8) if opset == 10 else np.int8([-3, 5])
    weight = np.int8([[-128, 127], [4, -5], [0, 1]])
    settings = {} if opset == 10 else {"axis": 1}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], **settings),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    constants = {"q": weight, "s": scale, "z": zero}
    graph = loads(network(nodes, {"x": (1, 3)}, constants=constants, opset=opset))
    (name,) = graph[graph.output].weights
    exact = (weight.astype(float) - zero) * scale.astype(float)
    assert (graph.weights[name] == exact.T).all()
    assert graph.formed[name].depth == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_constants_of_other_types_are_what_they_are(dtype, network):
    nodes = [helper.make_node("Mul", ["x", "c"], ["y"])]
    c = np.array([0.1], dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = loads(network(nodes, {"x": (1,)}, constants={"c": c}, dtype=kind))
    assert output(graph, 1.0) == float(c[0])
    assert not graph.formed
    assert graph.inputs[0].dtype == np.dtype(dtype).name


def test_a_cast_between_real_types_of_a_constant_keeps_its_value(network):
    nodes = [
        helper.make_node("Cast", ["c"], ["short"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["short"], ["back"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "back"], ["y"]),
    ]
    c = number(0.1)
    graph = loads(network(nodes, {"x": (1,)}, constants={"c": c}))
    assert output(graph, 1.0) == float(c)
    (how,) = graph.formed.values()
    assert how.depth == 1


def test_whole_numbers_beyond_float32_are_kept(network):
    nodes = [
        helper.make_node("Cast", ["n"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    graph = loads(network(nodes, {"x": (1,)}, constants={"n": np.array([2**24 + 1])}))
    assert output(graph, 0.0) == 2**24 + 1
    (how,) = graph.formed.values()
    assert how.depth == 1


def test_untouched_weights_stay_the_files_float32(network):
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight)),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = loads(network(nodes, {"x": (1, 4)}))
    (name,) = graph[graph.output].weights
    assert graph.weights[name].dtype == np.float32 and not graph.weights[name].flags.owndata


@pytest.mark.parametrize("limit", [np.nan, np.inf])
def test_a_lower_limit_that_is_no_finite_number_is_refused(limit, network):
    nodes = [helper.make_node("Max", ["x", "c"], ["y"])]
    with pytest.raises(ReadError, match="no finite number"):
        loads(network(nodes, {"x": (1,)}, constants={"c": number(limit)}))


def test_a_limit_of_infinity_or_zero_is_none_or_a_relu(network):
    def ops(op: str, limit: float) -> list[str]:
        nodes = [helper.make_node(op, ["x", "c"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]
        graph = loads(network(nodes, {"x": (1,)}, constants={"c": number(limit)}))
        return [node.op for node in graph.nodes][1:-1]

    assert ops("Max", -np.inf) == [] and ops("Min", np.inf) == []
    assert ops("Max", 0) == ["relu"] and ops("Min", 0) == ["at_most"]
    assert ops("Max", -3.4028234663852886e38) == ["at_least"]


@pytest.mark.parametrize("role", ["input", "output"])
def test_inputs_and_outputs_of_bfloat16_are_refused_with_the_way_out(role: str) -> None:
    types = (TensorProto.BFLOAT16, TensorProto.FLOAT)
    given, made = types if role == "input" else types[::-1]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=made)],
        "g",
        [info("x", given, [1, 2])],
        [info("y", made, [1, 2])],
    )
    opset = [helper.make_opsetid("", 17)]
    network = loads(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    box = boundmesh.Box(np.zeros((1, 2)), np.ones((1, 2)))
    with pytest.raises(BoundmeshError, match=f"{role} '.' is of the type bfloat16.*with a"):
        boundmesh.verify(network, boundmesh.Property.largest(box, 0, 2))
