"""The forms in which ONNX files hold the same network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from boundmesh.errors import ReadError, UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(4, 3)).astype(np.float32)
BIAS = RANDOM.normal(size=3).astype(np.float32)
LAYER = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]


def ops(graph) -> list[str]:
    return [node.op for node in graph.nodes]


@pytest.mark.parametrize("ir_version", [3, 7, 10])
def test_weights_are_initialisers_listed_among_the_inputs_or_not(ir_version, network, difference):
    data = network(LAYER, {"x": (1, 4)}, constants={"w": WEIGHT, "b": BIAS}, ir_version=ir_version)
    graph = loads(data)
    assert [port.name for port in graph.inputs] == ["x"]
    assert ops(graph) == ["input", "linear"]
    assert difference(graph) < 1e-6


def test_weights_are_constant_nodes(network, difference):
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHT)),
        helper.make_node("Constant", [], ["b"], value_floats=BIAS.tolist()),
        *LAYER,
    ]
    graph = loads(network(nodes, {"x": (1, 4)}))
    assert ops(graph) == ["input", "linear"]
    assert difference(graph) < 1e-6


@pytest.mark.parametrize("batch", ["N", None, 0, -1, 1])
def test_a_leading_axis_of_unknown_length_becomes_one(batch, network, difference):
    graph = loads(network(LAYER, {"x": (batch, 4)}, constants={"w": WEIGHT, "b": BIAS}))
    assert graph.inputs[0].shape == (1, 4) and graph.outputs[0].shape == (1, 3)
    assert difference(graph) < 1e-6


def test_an_unknown_axis_further_back_is_refused_by_name(network):
    data = network([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", "width")})
    with pytest.raises(ReadError, match=r"'x' has shape \['batch', 'width'\], whose axis 1"):
        loads(data)


def test_an_input_needs_no_batch_axis(network, difference):
    graph = loads(network(LAYER, {"x": (4,)}, constants={"w": WEIGHT, "b": BIAS}))
    assert graph.inputs[0].shape == (4,) and graph.outputs[0].shape == (3,)
    assert difference(graph) < 1e-6


def test_channels_last_images_are_transposed(network, difference):
    kernel = RANDOM.normal(size=(2, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "k"], ["c"]),
        helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]),
    ]
    graph = loads(network(nodes, {"x": ("N", 5, 6, 3)}, constants={"k": kernel}))
    assert ops(graph) == ["input", "transpose", "conv", "transpose"]
    assert difference(graph) < 1e-6


def test_several_inputs_and_outputs_are_one_flat_input_and_output(network, difference):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Mul", ["y", "z"], ["product"]),
    ]
    data = network(nodes, {"x": (2, 4), "z": (3,)}, ["product", "y"], {"w": WEIGHT})
    graph = loads(data)
    assert [(port.name, port.shape) for port in graph.inputs] == [("x", (2, 4)), ("z", (3,))]
    assert [(port.name, port.shape) for port in graph.outputs] == [
        ("product", (2, 3)),
        ("y", (2, 3)),
    ]
    assert graph[graph.input].shape == (11,) and graph[graph.output].shape == (12,)
    assert difference(graph) < 1e-6


def test_shape_arithmetic_of_a_dynamic_batch_folds_away(network, difference):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["list"]),
        helper.make_node("Concat", ["list", "minus"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("ConstantOfShape", ["target2"], ["ones"]),
        helper.make_node("Range", ["zero", "twelve", "one"], ["range"]),
        helper.make_node("Cast", ["range"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["flat", "real"], ["m"]),
        helper.make_node("Add", ["m", "ones"], ["y"]),
    ]
    constants = {
        "zero": np.array(0),
        "one": np.array(1),
        "twelve": np.array(12),
        "axes": np.array([0]),
        "minus": np.array([-1]),
        "target2": np.array([12]),
    }
    graph = loads(network(nodes, {"x": ("N", 3, 4)}, constants=constants))
    assert ops(graph) == ["input", "reshape", "scale"]
    assert difference(graph) < 1e-6


def test_batch_normalization_folds_into_the_layer_before_it(network, difference):
    kernel = RANDOM.normal(size=(2, 3, 3, 3)).astype(np.float32)
    statistics = {name: RANDOM.uniform(0.5, 1, 2).astype(np.float32) for name in "sbmv"}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *"sbmv"], ["n"]),
        helper.make_node("Dropout", ["n"], ["d"]),
        helper.make_node("Identity", ["d"], ["i"]),
        helper.make_node("Relu", ["i"], ["y"]),
    ]
    graph = loads(network(nodes, {"x": (1, 3, 5, 5)}, constants={"k": kernel, **statistics}))
    assert ops(graph) == ["input", "conv", "relu"]
    assert {array.dtype for array in graph.weights.values()} == {np.dtype(np.float64)}
    assert graph.formed.keys() == graph.weights.keys()
    assert difference(graph) < 1e-6


def test_an_identity_of_a_value_that_others_read_keeps_its_name(network, difference):
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Identity", ["r"], ["i"]),
        helper.make_node("Add", ["i", "r"], ["y"]),
    ]
    graph = loads(network(nodes, {"x": (3,)}, ["y", "i"]))
    assert graph["r"].op == "relu"
    assert difference(graph) < 1e-6


def test_outputs_may_be_inputs_or_constants(network, difference):
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Identity", ["c"], ["constant"]),
    ]
    graph = loads(network(nodes, {"x": (2, 3)}, ["same", "constant"], {"c": BIAS}))
    assert graph[graph.output].shape == (9,)
    assert difference(graph) == 0


@pytest.mark.parametrize("taken", [True, False])
def test_an_if_with_a_constant_condition_is_its_branch(taken, network, difference):
    def branch(op: str, name: str):
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4))
        return helper.make_graph([helper.make_node(op, ["r"], [name])], name, [], [info])

    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node(
            "If", ["c"], ["b"], then_branch=branch("Neg", "t"), else_branch=branch("Bernoulli", "e")
        ),
        helper.make_node("Add", ["b", "x"], ["y"]),
    ]
    data = network(nodes, {"x": (1, 4)}, constants={"c": np.array(taken)})
    if taken:
        assert difference(loads(data)) < 1e-6
    else:
        with pytest.raises(UnsupportedError, match="'Bernoulli'"):
            loads(data)


def test_functions_of_the_model_are_inlined(network, difference):
    opset = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Add", ["r", "a"], ["b"])]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], body, opset)
    nodes = [helper.make_node("Twice", ["x"], ["h"], domain="mine"),
             helper.make_node("Twice", ["h"], ["y"], domain="mine")]  # fmt: skip
    graph = loads(network(nodes, {"x": (1, 4)}, functions=[function]))
    assert ops(graph) == ["input", "relu", "add", "relu", "add"]
    assert difference(graph) < 1e-6


def test_float64_networks_keep_their_precision(network, difference):
    weight = RANDOM.normal(size=(4, 3))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = loads(network(nodes, {"x": (1, 4)}, constants={"w": weight}, dtype=TensorProto.DOUBLE))
    assert graph.inputs[0].dtype == graph.outputs[0].dtype == "float64"
    assert graph.weights["w"].dtype == np.float64
    assert difference(graph) < 1e-14


def test_float16_weights_become_float32_and_the_ports_say_float16(network, difference):
    weight = RANDOM.normal(size=(4, 3)).astype(np.float16)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    data = network(nodes, {"x": (1, 4)}, constants={"w": weight}, dtype=TensorProto.FLOAT16)
    graph = loads(data)
    assert graph.inputs[0].dtype == "float16"
    assert graph.weights["w"].dtype == np.float32
    assert np.array_equal(graph.weights["w"].T, weight)


def test_a_transposed_weight_is_a_view(network):
    graph = loads(network(LAYER, {"x": (1, 4)}, constants={"w": WEIGHT, "b": BIAS}))
    assert graph.weights["w"].shape == (3, 4)
    assert graph.weights["w"].base is not None and graph.weights["w"].T.flags.c_contiguous


def test_a_weight_used_twice_is_held_once(network, difference):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]),
             helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("MatMul", ["r", "w"], ["y"])]  # fmt: skip
    square = RANDOM.normal(size=(4, 4)).astype(np.float32)
    graph = loads(network(nodes, {"x": (1, 4)}, constants={"w": square}))
    assert list(graph.weights) == ["w"]
    assert difference(graph) < 1e-6


def test_a_value_times_itself_is_a_square(network, difference):
    graph = loads(network([helper.make_node("Mul", ["x", "x"], ["y"])], {"x": (1, 4)}))
    assert ops(graph) == ["input", "power"]
    assert difference(graph) < 1e-6


def test_what_the_output_does_not_need_may_be_unsupported(network):
    nodes = [helper.make_node("Det", ["x"], ["e"]), helper.make_node("Relu", ["x"], ["y"])]
    assert ops(loads(network(nodes, {"x": (1, 4)}))) == ["input", "relu"]


def test_opset_6_is_refused(network):
    with pytest.raises(ReadError, match="opset 6"):
        loads(network([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 4)}, opset=6))


REFUSED = {
    "no translation": helper.make_node("Det", ["x"], ["y"], name="det_12"),
    "domain is 'com.microsoft'": helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft"),
    "neither real nor whole": helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E5M2),
    "shape depends on the network's input": helper.make_node("Reshape", ["a", "x"], ["y"]),
    "antialias widens": helper.make_node(
        "Resize", ["x", "", "two"], ["y"], mode="linear", antialias=1
    ),
    "weight depends on the network's input": helper.make_node("Conv", ["x", "x"], ["y"]),
    "divides by a constant that holds zero": helper.make_node("Div", ["x", "zero"], ["y"]),
    "draws random numbers": helper.make_node("RandomNormalLike", ["a"], ["y"]),
    "exponents differ": helper.make_node("Pow", ["x", "a"], ["y"]),
    "an index lies outside": helper.make_node("Gather", ["x", "far"], ["y"]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_translated_is_refused_with_its_reason(reason, network):
    node = REFUSED[reason]
    constants = {
        "a": np.array([1, 2, 3, 4], np.float32),
        "zero": np.zeros(4, np.float32),
        "far": np.array([7]),
        "two": np.array([1, 2], np.float32),
    }
    data = network([node], {"x": (1, 4)}, constants=constants, opset=20)
    with pytest.raises(UnsupportedError, match=reason) as caught:
        loads(data)
    assert f"'{node.op_type}'" in str(caught.value)
    assert f"'{node.name or 'y'}'" in str(caught.value)


def test_training_mode_is_refused(network):
    nodes = [helper.make_node("Dropout", ["x", "", "on"], ["y"])]
    with pytest.raises(UnsupportedError, match="training mode"):
        loads(network(nodes, {"x": (1, 4)}, constants={"on": np.array(True)}))


def test_complex_inputs_are_refused(network):
    kind = TensorProto.COMPLEX64
    data = network([helper.make_node("Relu", ["x"], ["y"])], {"x": (4,)}, dtype=kind)
    with pytest.raises(UnsupportedError, match="input 'x' holds COMPLEX64"):
        loads(data)


LOOP = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 3] x) => (float[1, 3] y, float[n, 1, 3] every)
<int64 turns = {{{turns}}}, bool on = {{1}}, float half = {{0.5}}, int64 last = {{{last}}}>
{{ y, every = Loop (turns, on, x) <body = body (int64 i, bool c, float[1, 3] v)
   => (bool again, float[1, 3] w, float[1, 3] seen)
   {{ s = Mul(v, half) w = Tanh(s) seen = Add(w, x) again = Less(i, last) }}> }}"""


@pytest.mark.parametrize(("turns", "last", "taken"), [(4, 9, 4), (9, 2, 3), (1, 9, 1)])
def test_a_loop_with_constant_turns_is_unrolled(
    turns: int, last: int, taken: int, difference: Callable[[Graph], float]
) -> None:
    text = LOOP.format(turns=turns, last=last)
    graph = loads(onnx.parser.parse_model(text).SerializeToString())
    assert ops(graph).count("tanh") == taken
    assert graph.outputs[1].shape == (taken, 1, 3)
    assert difference(graph) < 1e-6


def test_a_loop_whose_condition_depends_on_the_input_is_refused() -> None:
    text = LOOP.format(turns=4, last=9).replace("Less(i, last)", "Less(big, half)")
    text = text.replace("{ s =", "{ big = ReduceMax<keepdims=0>(v) s =")
    with pytest.raises(UnsupportedError, match="condition depends"):
        loads(onnx.parser.parse_model(text).SerializeToString())
