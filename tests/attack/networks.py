"""Small networks with an ONNX source, as replay needs one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads

Matrix = Sequence[Sequence[float]] | np.ndarray
Vector = Sequence[float] | np.ndarray


def affine(
    *pairs: tuple[Sequence[Sequence[float]], Sequence[float]],
    double: bool = False,
    whole: str = "",
) -> Graph:
    """`W·relu(… W·x + b …) + b` of the pairs (W, b), for inputs `[1, n]`.

    The inputs are real, or of the type `whole`.
    """
    dtype, kind = (np.float64, TensorProto.DOUBLE) if double else (np.float32, TensorProto.FLOAT)
    nodes, weights, value = [], [], "x"
    if whole:
        nodes.append(helper.make_node("Cast", ["x"], ["real"], to=kind))
        value = "real"
    for place, (weight, bias) in enumerate(pairs):
        if place:
            nodes.append(helper.make_node("Relu", [value], [f"relu{place}"]))
            value = f"relu{place}"
        for name, array in ((f"W{place}", weight), (f"b{place}", bias)):
            weights.append(numpy_helper.from_array(np.array(array, dtype), name))
        inputs = [value, f"W{place}", f"b{place}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"y{place}"], transB=1))
        value = f"y{place}"
    sizes = np.shape(pairs[0][0])[1], len(pairs[-1][1])
    entered = TensorProto.DataType.Value(whole.upper()) if whole else kind
    ends = [helper.make_tensor_value_info("x", entered, (1, sizes[0]))]
    outs = [helper.make_tensor_value_info(value, kind, (1, sizes[1]))]
    graph = helper.make_graph(nodes, "g", ends, outs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


def identity(size: int, double: bool = False) -> Graph:
    return affine((np.eye(size), np.zeros(size)), double=double)


def two_to_two() -> Graph:
    """Two inputs `a [2]` and `b [1]`, two outputs `a·2 [2]` and `b + 1 [1]`."""
    nodes = [
        helper.make_node("Mul", ["a", "two"], ["double"]),
        helper.make_node("Add", ["b", "one"], ["more"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([2.0], np.float32), "two"),
        numpy_helper.from_array(np.array([1.0], np.float32), "one"),
    ]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (size,))
        for name, size in (("a", 2), ("b", 1), ("double", 2), ("more", 1))
    ]
    graph = helper.make_graph(nodes, "g", infos[:2], infos[2:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


def random_mlp(*sizes: int, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    return affine(
        *(
            (rng.normal(size=(out, wide)) * np.sqrt(2 / wide), rng.normal(size=out) * 0.3)
            for wide, out in pairwise(sizes)
        )
    )
