"""A small network for the tests of graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import helper, numpy_helper

from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads


def network(*extra, dtype: int = 1) -> Graph:
    """x → W x → relu → V · + c → y, and what `extra` makes of it."""
    random = np.random.default_rng(0)
    shapes = {"w": (4, 5), "v": (5, 3), "c": (3,)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["p"]),
        helper.make_node("Add", ["p", "c"], ["s"]),
        *(extra or [helper.make_node("Identity", ["s"], ["y"])]),
    ]
    info = helper.make_tensor_value_info
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    constants = [
        numpy_helper.from_array(random.normal(size=shape).astype(kind), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        nodes, "g", [info("x", dtype, [1, 4])], [info("y", dtype, None)], constants
    )
    opset = [helper.make_opsetid("", 17)]
    return loads(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def changed(graph: Graph, place: str, **fields) -> Graph:
    nodes = [replace(node, **fields) if node.name == place else node for node in graph.nodes]
    return replace(graph, nodes=tuple(nodes))
