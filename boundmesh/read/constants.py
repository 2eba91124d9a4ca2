"""Evaluating the part of an ONNX network that does not depend on its input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.build import Constant
from boundmesh.read.translate.reshape import new_shape, refuse_training
from boundmesh.read.translate.step import Step

RANDOM = frozenset(
    (
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    )
)


def read_tensor(tensor: ir.TensorProtocol, name: str) -> np.ndarray:
    """The tensor's values; external data stays a memory-mapped view of its file.

    Raises ReadError where the data is missing, too short, or outside the network's folder.
    """
    try:
        return tensor.numpy()
    except (OSError, ValueError, TypeError, AssertionError) as error:
        raise ReadError(f"weight '{name}' cannot be read: {error}") from error


def constant_node(step: Step) -> Constant:
    """The value of an ONNX Constant node, whichever attribute holds it."""
    (kind,) = step.attributes
    value = step.attributes[kind]
    name = step.outputs[0]
    if kind == "value":
        return Constant(name, read_tensor(value, name))
    types = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    if kind not in types:
        raise step.refuse(f"its attribute '{kind}' is not a tensor of numbers")
    return Constant(name, np.asarray(value, types[kind]))


def shape_of(step: Step, shape: tuple[int, ...]) -> Constant:
    """What ONNX Shape (from `start` to `end`) or Size says of a value of `shape`."""
    if step.op == "Size":
        return Constant(step.outputs[0], np.asarray(np.prod(shape, dtype=np.int64)))
    part = shape[step.attribute("start", 0) : step.attribute("end")]
    return Constant(step.outputs[0], np.asarray(part, np.int64))


def same(step: Step, array: np.ndarray) -> np.ndarray:
    return array


def kept(step: Step, array: np.ndarray) -> np.ndarray:
    refuse_training(step)
    return array


def transposed(step: Step, array: np.ndarray) -> np.ndarray:
    return array.transpose(step.attribute("perm"))


def reshaped(step: Step, array: np.ndarray) -> np.ndarray:
    return array.reshape(new_shape(step, array.shape))


# These are views in numpy, so that a large weight is not copied; all else is evaluated.
VIEWS: dict[str, Callable[[Step, np.ndarray], np.ndarray]] = {
    "Identity": same,
    "Dropout": kept,
    "Transpose": transposed,
    "Reshape": reshaped,
    "Flatten": reshaped,
    "Squeeze": reshaped,
    "Unsqueeze": reshaped,
}


def fold(step: Step, node: ir.Node) -> tuple[Constant, ...]:
    """The results of a node whose operands are all constant.

    Raises UnsupportedError for an operator that draws random numbers or is unknown, ReadError for
    one that its operands do not fit.
    """
    if step.op in RANDOM:
        raise step.refuse("it draws random numbers")
    arrays = [value.array if isinstance(value, Constant) else None for value in step.operands]
    try:
        if step.op == "Constant":
            return (constant_node(step),)
        if step.op in VIEWS and step.single:
            view = VIEWS[step.op](step, step.constant(0, "operand"))
            return (Constant(step.outputs[0], view),)
        return evaluate(step, node, arrays)
    except BoundmeshError:
        raise
    except Exception as error:
        # The reference evaluator raises what its numpy code raises, for good reasons and bad.
        raise ReadError(
            f"constant node '{step.name}' ({step.op}) cannot be evaluated: {error}"
        ) from error


def evaluate(step: Step, node: ir.Node, arrays: list[np.ndarray | None]) -> tuple[Constant, ...]:
    """The node's results by ONNX's own reference implementation."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.NodeProto()
    proto.CopyFrom(ir.serde.serialize_node(node))
    names = [f"in{place}" if array is not None else "" for place, array in enumerate(arrays)]
    proto.input[:] = names
    given = {name: array for name, array in zip(names, arrays, strict=True) if name}
    graph = onnx.helper.make_graph(
        [proto],
        "constant",
        [onnx.ValueInfoProto(name=name) for name in given],
        [onnx.ValueInfoProto(name=name) for name in proto.output if name],
    )
    opset = onnx.helper.make_opsetid("", step.opset)
    results = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset])).run(
        None, given
    )
    found = dict(zip((name for name in proto.output if name), results, strict=True))
    return tuple(Constant(name, np.asarray(found.get(name))) for name in step.outputs)
