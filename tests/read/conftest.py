"""Small ONNX networks for the tests of reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph
from boundmesh.read.runtime import Runtime

Shape = Sequence[int | str | None]


def network_bytes(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    ir_version: int = 8,
    functions: Sequence[onnx.FunctionProto] = (),
) -> bytes:
    """An ONNX file; the types of its outputs are left to be inferred."""
    constants = constants or {}
    infos = [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()]
    if ir_version < 4:
        # Before IR version 4 every initialiser is listed among the inputs.
        infos += [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in constants.items()
        ]
    graph = helper.make_graph(
        nodes,
        "network",
        infos,
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), *({f.domain: helper.make_opsetid(f.domain, 1)
              for f in functions}.values())]  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, functions=functions
    )
    return model.SerializeToString()


def largest_difference(graph: Graph, low: float = -2.0, high: float = 2.0) -> float:
    """How far the graph's forward in float64 is from ONNX Runtime, relative to the outputs."""
    size = graph[graph.input].size
    points = np.random.default_rng(1).uniform(low, high, (4, size)).astype(np.float32)
    runtime = Runtime(graph)
    theirs = np.stack([runtime(point) for point in points]).astype(np.float64)
    x = torch.from_numpy(points).double().reshape(-1, *graph[graph.input].shape)
    mine = forward(graph, tensors(graph, torch.float64), x).reshape(4, -1).numpy()
    assert mine.shape == theirs.shape
    assert np.isfinite(theirs).all()
    return float(np.abs(mine - theirs).max() / max(1.0, np.abs(theirs).max()))


@pytest.fixture
def network() -> Callable[..., bytes]:
    return network_bytes


@pytest.fixture
def difference() -> Callable[..., float]:
    return largest_difference


DATA = Path(__file__).parents[3] / "shared" / "data" / "vnncomp"


@pytest.fixture
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the competition's networks are not at {DATA}")
    return DATA
