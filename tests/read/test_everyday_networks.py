"""Networks of the kinds that everyday packages ship are read and bounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, load_model_from_string

import boundmesh
from boundmesh import Box
from boundmesh.graph.graph import Graph
from boundmesh.read import onnx
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.open_axes import KnownShapes
from boundmesh.read.runtime import Runtime
from tests.read.conftest import network_bytes

RANDOM = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray:
    return (RANDOM.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def file_classifier() -> tuple[Graph, Box]:
    """Bytes of a file, an embedding, a convolution, the largest of each channel, a classifier."""
    nodes = [
        helper.make_node("Cast", ["x"], ["places"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "places"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", "kernel"], ["map"], strides=[2]),
        helper.make_node("Relu", ["map"], ["active"]),
        helper.make_node("ReduceMax", ["active"], ["peak"], axes=[2], keepdims=0),
        helper.make_node("Gemm", ["peak", "last"], ["y"]),
    ]
    constants = {"table": weights(256, 4), "kernel": weights(6, 4, 3), "last": weights(6, 3)}
    data = network_bytes(nodes, {"x": (1, 9)}, constants=constants, dtype=TensorProto.UINT8)
    model = load_model_from_string(data)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    lower = RANDOM.integers(0, 250, size=(1, 9)).astype(float)
    return onnx.loads(model.SerializeToString()), Box(lower, lower + RANDOM.integers(0, 3, (1, 9)))


def branch(name: str, *nodes: NodeProto) -> object:
    """A branch of an If with the result `name`."""
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [result])


def voice_detector() -> tuple[Graph, Box]:
    """A wave of open length, frames by a strided convolution, an If on its rank, an LSTM."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Size", ["shape"], ["rank"]),
        helper.make_node("Equal", ["rank", "two"], ["flat"]),
        helper.make_node(
            "If",
            ["flat"],
            ["wave"],
            then_branch=branch("a", helper.make_node("Unsqueeze", ["x", "one"], ["a"])),
            else_branch=branch("b", helper.make_node("Identity", ["x"], ["b"])),
        ),
        helper.make_node("Conv", ["wave", "basis"], ["parts"], strides=[4]),
        helper.make_node("Mul", ["parts", "parts"], ["power"]),
        helper.make_node("Transpose", ["power"], ["steps"], perm=[2, 0, 1]),
        helper.make_node("LSTM", ["steps", "w", "r"], ["", "state"], hidden_size=2),
        helper.make_node("Reshape", ["state", "row"], ["last"]),
        helper.make_node("MatMul", ["last", "v"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["y"]),
    ]
    constants = {
        "two": np.array(2),
        "one": np.array([1]),
        "row": np.array([1, 2]),
        "basis": weights(4, 1, 8),
        "w": weights(1, 8, 4),
        "r": weights(1, 8, 2),
        "v": weights(2, 1),
    }
    data = network_bytes(nodes, {"x": (1, "length")}, constants=constants)
    graph = onnx.loads(data, lengths=KnownShapes(by_name={"x": (1, 20)}))
    return graph, Box(np.full((1, 20), -0.2), np.full((1, 20), 0.3))


def transcriber() -> tuple[Graph, Box]:
    """Features of open length, those below a threshold masked before they are averaged."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]),
        helper.make_node("Greater", ["hidden", "limit"], ["loud"]),
        helper.make_node("Where", ["loud", "hidden", "limit"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["y"]),
    ]
    constants = {
        "first": weights(5, 6),
        "limit": np.array(0.1, np.float32),
        "last": weights(6, 4),
    }
    data = network_bytes(nodes, {"x": (1, "frames", 5)}, constants=constants)
    graph = onnx.loads(data, lengths=KnownShapes(by_name={"x": (1, 7, 5)}))
    return graph, Box(np.full((1, 7, 5), -1.0), np.full((1, 7, 5), 1.0))


@pytest.mark.parametrize("made", [file_classifier, voice_detector, transcriber])
def test_everyday_networks_agree_with_onnx_runtime_and_are_bounded(
    made: Callable[[], tuple[Graph, Box]],
) -> None:
    graph, box = made()
    agrees_with_source(graph, [box])
    run = Runtime(graph)
    points = RANDOM.uniform(box.lower.ravel(), box.upper.ravel(), size=(100, box.size))
    if graph.inputs[0].dtype == "uint8":
        points = points.round()
    seen = np.array([run(point) for point in points])
    for method in ("ibp", "crown"):
        found = boundmesh.bounds(graph, box, method=method)
        assert np.isfinite(found.lower).all() and np.isfinite(found.upper).all()
        assert (found.lower <= seen.min(0) + 1e-5).all()
        assert (found.upper >= seen.max(0) - 1e-5).all()
