"""Predicts how large the results of an ONNX node will be, before any of them is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import onnx_ir as ir

from boundmesh.graph.build import Constant
from boundmesh.read.translate.step import Step
from boundmesh.runtime.memory import refuse_beyond

# A value takes at least a lower and an upper bound, or itself and a copy, of 8 bytes each.
BYTES = 16
# An operator that picks places one by one lists them as Python integers.
LISTED = dict.fromkeys(("Gather", "Pad", "Resize", "Tile", "Upsample"), 64)
# Operands that define how large a result is (shapes, pads, repeats, ends) hold few numbers.
FEW = 1024
# Smaller results fit into any memory.
SMALL = 2**22
KINDS = {None: 1, "b": 9, "i": 7}
"""The ONNX element types that stand for a node's kind: float, truth values, int64."""
ADVICE = "use a smaller network, or a machine with more memory"


def refuse_too_large(step: Step, node: ir.Node) -> None:
    """Raise DeviceError, which names the node, where its results cannot fit into memory."""
    for shape in shapes(step, node):
        size = math.prod(shape)
        if size > SMALL:
            refuse_beyond(
                f"node '{step.name}' ({step.op}), a result of shape {list(shape)},",
                LISTED.get(step.op, BYTES) * size,
                ADVICE,
            )


def shapes(step: Step, node: ir.Node) -> Iterator[tuple[int, ...]]:
    """Return the shapes of the node's results, as far as ONNX's shape inference finds them."""
    yield from (shape for shape, _ in forms(step, node).values())


def forms(step: Step, node: ir.Node) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return the shapes and element types of the node's results by name, as far as ONNX's shape
    inference finds them."""
    if step.op == "Constant" or any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for attribute in node.attributes.values()
    ):
        return {}
    import onnx

    proto = onnx.NodeProto()
    try:
        proto.CopyFrom(ir.serde.serialize_node(node))
        result = onnx.shape_inference.infer_shapes(_alone(step, proto))
    except Exception:
        # Its translation refuses a node that breaks its operator's definition, and gives a reason.
        return {}
    shapes = {}
    for value in (*result.graph.value_info, *result.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shape = tuple(max(0, dim.dim_value) for dim in kind.shape.dim)
            shapes[value.name] = shape, kind.elem_type
    return shapes


def _alone(step: Step, proto: Any) -> Any:
    """Make a model of the node alone, with the values of its small constant operands."""
    import onnx

    inputs, weights = [], []
    for place, value in enumerate(step.operands):
        name = "" if value is None else f"in{place}"
        proto.input[place] = name
        if isinstance(value, Constant) and value.array.size <= FEW:
            weights.append(onnx.numpy_helper.from_array(value.array, name))
        elif value is not None:
            kind = KINDS[step.build.kinds.get(value.name)]
            if isinstance(value, Constant):
                kind = onnx.helper.np_dtype_to_tensor_dtype(value.array.dtype)
            inputs.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output if name]
    graph = onnx.helper.make_graph([proto], "alone", inputs, outputs, weights)
    opset = onnx.helper.make_opsetid("", step.opset)
    return onnx.helper.make_model(graph, opset_imports=[opset])
