"""Networks whose weights are too large to exist, for tests of plans."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from onnx import TensorProto, helper

from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.read.shapes import stand_in


def shapes_of_mlp(*sizes: int) -> Graph:
    """A ReLU network of which only the shapes exist."""
    build = Builder()
    x = build.input((1, sizes[0]))
    for place, (wide, out) in enumerate(pairwise(sizes)):
        x = build.add("linear", x, weights=(stand_in((out, wide)), stand_in((out,))))
        if place < len(sizes) - 2:
            x = build.add("relu", x)
    return build.graph(x, (Port("x", (1, sizes[0])),), (Port(x.name, x.shape),))


def external_mlp(folder: Path, *sizes: int) -> Path:
    """Write a ReLU network whose weights lie in `weights.bin`, which is not written."""
    nodes, tensors, name, offset = [], [], "x", 0
    for place, (wide, out) in enumerate(pairwise(sizes)):
        tensor = TensorProto(
            name=f"w{place}",
            data_type=TensorProto.FLOAT,
            dims=[out, wide],
            data_location=TensorProto.EXTERNAL,
        )
        size = 4 * wide * out
        for key, value in (("location", "weights.bin"), ("offset", offset), ("length", size)):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        offset += size
        tensors.append(tensor)
        nodes.append(helper.make_node("Gemm", [name, f"w{place}"], [f"z{place}"], transB=1))
        name = f"z{place}"
        if place < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"a{place}"]))
            name = f"a{place}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, sizes[0]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, sizes[-1]])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "mlp.onnx"
    path.write_bytes(model.SerializeToString())
    return path
