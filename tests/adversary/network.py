"""An ONNX file as a list of steps that any arithmetic can take: exact, float64, reordered float32.

A value is an array `[K, *shape]`: K points side by side, and the shape that the file gives it. This
reader shares nothing with boundmesh's, so that neither can repeat the other's mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Value = Any
Arithmetic = Any


class Network:
    """The operators of an ONNX model with one input and one output."""

    def __init__(self, model: onnx.ModelProto | bytes | str | Path) -> None:
        if isinstance(model, bytes):
            model = onnx.load_model_from_string(model)
        elif not isinstance(model, onnx.ModelProto):
            model = onnx.load(model)
        graph = model.graph
        self.bytes = model.SerializeToString()
        self.constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.nodes = list(graph.node)
        (entry,) = (each for each in graph.input if each.name not in self.constants)
        self.input, self.output = entry.name, graph.output[0].name
        self.shape = tuple(d.dim_value for d in entry.type.tensor_type.shape.dim)
        self.double = entry.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE

    def run(self, how: Arithmetic, points: Value) -> Value:
        """The output `[K, *shape]` at points `[K, inputs]` in the arithmetic `how`."""
        state = State(how, dict(self.constants))
        state.values[self.input] = points.reshape(points.shape[0], *self.shape)
        for node in self.nodes:
            if node.op_type == "Constant":
                (held,) = node.attribute
                state.constants[node.output[0]] = numpy_helper.to_array(held.t)
                continue
            given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            state.values[node.output[0]] = STEPS[node.op_type](state, node, given)
        return state.values[self.output]


class State:
    """What is computed so far; constants become values where an operator computes with them."""

    def __init__(self, how: Arithmetic, constants: dict[str, np.ndarray]) -> None:
        self.how, self.constants = how, constants
        self.values: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        if name not in self.values:
            self.values[name] = self.how.constant(self.constants[name])
        return self.values[name]

    def optional(self, node: onnx.NodeProto, place: int) -> np.ndarray | None:
        """The constant that input number `place` names, if it is there."""
        if place >= len(node.input) or not node.input[place]:
            return None
        return self.constants[node.input[place]]


Attributes = dict[str, Any]
Step = Callable[[State, onnx.NodeProto, Attributes], Value]
STEPS: dict[str, Step] = {}


def step(*names: str) -> Callable[[Step], Step]:
    def enter(function: Step) -> Step:
        STEPS.update(dict.fromkeys(names, function))
        return function

    return enter


def aligned(a: Value, b: Value) -> tuple[Value, Value]:
    """Both with as many axes, those that are missing put behind the axis of points."""
    rank = max(len(a.shape), len(b.shape))
    return tuple(x.reshape(x.shape[0], *(1,) * (rank - len(x.shape)), *x.shape[1:]) for x in (a, b))


def moved(how: Arithmetic, x: Value, move: Callable[[np.ndarray], np.ndarray]) -> Value:
    """`x` with its elements moved as `move` moves their numbers; −1 stands for a zero."""
    places = np.arange(math.prod(x.shape[1:])).reshape(x.shape[1:])
    return how.take(x, np.asarray(move(places)))


def behind(how: Arithmetic, x: Value, axes: Sequence[int]) -> Value:
    """`x` with `axes` (of its shape without the points) moved to the end and made one."""
    rank = len(x.shape) - 1
    last = sorted(axis % rank for axis in axes)
    first = [axis for axis in range(rank) if axis not in last]
    kept = [x.shape[1 + axis] for axis in first]
    return moved(how, x, lambda places: places.transpose(first + last).reshape(*kept, -1))


BINARY = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
FUNCTIONS = {
    name: name.lower()
    for name in ("Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Sin", "Cos", "Reciprocal")
}


@step(*BINARY)
def binary(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    a, b = aligned(*(state.value(name) for name in node.input))
    return getattr(state.how, BINARY[node.op_type])(a, b)


@step(*FUNCTIONS)
def function(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    return state.how.function(FUNCTIONS[node.op_type], state.value(node.input[0]))


@step("Floor", "Ceil", "Sign", "Round")
def steps(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    return state.how.steps(node.op_type.lower(), state.value(node.input[0]))


@step("Neg")
def negate(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    return state.how.negate(state.value(node.input[0]))


@step("Identity")
def identity(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    return state.value(node.input[0])


@step("Max", "Min", "Sum")
def fold(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    name = {"Max": "maximum", "Min": "minimum", "Sum": "add"}[node.op_type]
    result = state.value(node.input[0])
    for each in node.input[1:]:
        result = getattr(state.how, name)(*aligned(result, state.value(each)))
    return result


@step("Relu")
def relu(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    x = state.value(node.input[0])
    return state.how.maximum(*aligned(x, state.how.constant(np.float32(0))))


@step("LeakyRelu")
def leaky_relu(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    slope = state.how.constant(np.float32(given.get("alpha", 0.01)))
    return state.how.where_negative(*aligned(state.value(node.input[0]), slope))


@step("Abs")
def absolute(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    x = state.value(node.input[0])
    return state.how.maximum(x, state.how.negate(x))


@step("Clip")
def clip(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    """`min(max(x, low), high)`."""
    x = state.value(node.input[0])
    for place, name in ((1, "maximum"), (2, "minimum")):
        if (limit := state.optional(node, place)) is not None:
            x = getattr(state.how, name)(*aligned(x, state.how.constant(limit)))
    return x


@step("Pow")
def power(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    exponent = state.constants[node.input[1]]
    return state.how.power(state.value(node.input[0]), float(exponent.reshape(-1)[0]))


@step("Gemm")
def gemm(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    a, b = state.value(node.input[0]), state.value(node.input[1])
    if given.get("transA", 0):
        a = moved(state.how, a, np.transpose)
    if not given.get("transB", 0):
        b = moved(state.how, b, np.transpose)
    assert given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0, "alpha and beta must be 1"
    bias = None
    if len(node.input) > 2:
        bias = state.value(node.input[2])
        bias = bias.reshape(bias.shape[0], *(1,) * (3 - len(bias.shape)), *bias.shape[1:])
    return state.how.dot(
        a.reshape(a.shape[0], a.shape[1], 1, a.shape[2]),
        b.reshape(b.shape[0], 1, *b.shape[1:]),
        bias,
    )


@step("MatMul")
def matmul(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    a, b = aligned(*(state.value(name) for name in node.input))
    b = moved(state.how, b, lambda places: places.swapaxes(-1, -2))
    a = a.reshape(*a.shape[:-1], 1, a.shape[-1])
    return state.how.dot(a, b.reshape(*b.shape[:-2], 1, *b.shape[-2:]))


@step("BatchNormalization")
def batch_normalization(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    """`(x − mean) / √(variance + ε) · scale + offset` along axis 1."""
    x = state.value(node.input[0])
    wide = (1, x.shape[2], *(1,) * (len(x.shape) - 3))
    scale, offset, mean, variance = (
        state.how.constant(state.constants[name].reshape(wide)) for name in node.input[1:]
    )
    epsilon = state.how.constant(np.full(wide, np.float32(given.get("epsilon", 1e-5))))
    root = state.how.function("sqrt", state.how.add(variance, epsilon))
    centered = state.how.subtract(x, mean)
    return state.how.add(state.how.multiply(state.how.divide(centered, root), scale), offset)


@step("Softmax")
def softmax(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    """Along the last axis."""
    x = state.value(node.input[0])
    top = state.how.largest(x)
    top = top.reshape(*top.shape, 1)
    grown = state.how.function("exp", state.how.subtract(x, top))
    total = state.how.total(grown)
    return state.how.divide(grown, total.reshape(*total.shape, 1))


@step("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def reduction(state: State, node: onnx.NodeProto, given: Attributes) -> Value:
    how, x = state.how, state.value(node.input[0])
    rank = len(x.shape) - 1
    axes = state.optional(node, 1) if len(node.input) > 1 else given.get("axes")
    wanted = [axis % rank for axis in (range(rank) if axes is None else axes)]
    last = behind(how, x, wanted)
    if node.op_type == "ReduceMax":
        found = how.largest(last)
    elif node.op_type == "ReduceMin":
        found = how.negate(how.largest(how.negate(last)))
    else:
        found = how.total(last)
    if node.op_type == "ReduceMean":
        found = how.divide(*aligned(found, how.constant(np.float32(last.shape[-1]))))
    if given.get("keepdims", 1):
        kept = [1 if axis in wanted else x.shape[1 + axis] for axis in range(rank)]
        found = found.reshape(found.shape[0], *kept)
    return found


from tests.adversary import moves, windows  # noqa: E402, F401  (they enter their steps)
