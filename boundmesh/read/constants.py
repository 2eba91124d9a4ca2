"""Evaluates the part of an ONNX network that does not depend on its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.constant import Constant, made
from boundmesh.read.constant_rules import (
    ARITHMETIC,
    CONVERSIONS,
    EXACT_KINDS,
    JUMPING,
    formed,
    real,
)
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
    """Read the tensor's values; external data stays a memory-mapped view of its file.

    Raises ReadError where the data is missing, too short, or outside the network's folder.
    """
    try:
        return tensor.numpy()
    except (OSError, ValueError, TypeError, AssertionError) as error:
        raise ReadError(f"weight '{name}' cannot be read: {error}") from error


def constant_node(step: Step) -> Constant:
    """Return the value of an ONNX Constant node, from the attribute that holds it."""
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
    """Compute ONNX Shape (from `start` to `end`) or Size of a value of `shape`."""
    if step.op == "Size":
        return Constant(step.outputs[0], np.asarray(np.prod(shape, dtype=np.int64)))
    part = shape[step.attribute("start", 0) : step.attribute("end")]
    return Constant(step.outputs[0], np.asarray(part, np.int64))


def same(step: Step, constant: Constant) -> Constant:
    return constant


def kept(step: Step, constant: Constant) -> Constant:
    refuse_training(step)
    return constant


def transposed(step: Step, constant: Constant) -> Constant:
    return constant.moved(lambda array: array.transpose(step.attribute("perm")))


def reshaped(step: Step, constant: Constant) -> Constant:
    shape = new_shape(step, constant.shape)
    return constant.moved(lambda array: array.reshape(shape))


# These are views in numpy, so that a large weight is not copied; all else is evaluated.
VIEWS: dict[str, Callable[[Step, Constant], Constant]] = {
    "Identity": same,
    "Dropout": kept,
    "Transpose": transposed,
    "Reshape": reshaped,
    "Flatten": reshaped,
    "Squeeze": reshaped,
    "Unsqueeze": reshaped,
}


def fold(step: Step, node: ir.Node) -> tuple[Constant, ...]:
    """Compute the results of a node whose operands are all constant.

    Raises UnsupportedError for an operator that draws random numbers or is unknown, and ReadError
    for operands that do not fit the operator.
    """
    if step.op in RANDOM:
        raise step.refuse("it draws random numbers")
    try:
        if step.op == "Constant":
            return (constant_node(step),)
        if step.op in VIEWS and step.single:
            view = VIEWS[step.op](step, step.known(0, "operand"))
            return (replace(view, name=step.outputs[0]),)
        constants = evaluate(step, node)
        return tuple(
            replace(constant, name=name)
            for name, constant in zip(step.outputs, constants, strict=True)
        )
    except BoundmeshError:
        raise
    except Exception as error:
        # The reference evaluator raises what its numpy code raises, for good reasons and bad.
        raise ReadError(
            f"constant node '{step.name}' ({step.op}) cannot be evaluated: {error}"
        ) from error


def evaluate(step: Step, node: ir.Node) -> Sequence[Constant]:
    """Compute the node's results.

    Real numbers are computed in float64, together with how they were formed. All other results
    come from ONNX's reference implementation.
    """
    operands = [value if isinstance(value, Constant) else None for value in step.operands]
    arrays = [None if operand is None else operand.array for operand in operands]
    if step.op in CONVERSIONS:
        return [CONVERSIONS[step.op](step)]
    if not any(operand is not None and real(operand.array) for operand in operands):
        return [Constant("", result) for result in reference(step, node, arrays)]
    if step.op in ARITHMETIC:
        return [ARITHMETIC[step.op](step)]
    computed = any(operand is not None and operand.formed.depth for operand in operands)
    if step.op in JUMPING or (step.op in EXACT_KINDS and not computed):
        return [Constant("", array) for array in decided(step, node, arrays, computed)]
    precise = [
        array if array is None or not real(array) else array.astype(float) for array in arrays
    ]
    results = reference(step, node, precise)

    def again(others: Sequence[np.ndarray | None], op: str) -> Sequence[np.ndarray]:
        return reference(step, node, others, op)

    forms = formed(step, results, again)
    return [made(*result) for result in zip(results, forms, strict=True)]


def decided(
    step: Step, node: ir.Node, arrays: Sequence[np.ndarray | None], computed: bool
) -> Sequence[np.ndarray]:
    """Compute the results of an operator that only moves numbers, or whose function jumps.

    Operands that were computed are passed in float64 and in float32. Raises UnsupportedError where
    the two results differ, as rounding decides the result then.
    """
    results = reference(step, node, arrays)
    if computed:
        for dtype in (np.float64, np.float32):
            other = [array.astype(dtype) if array is not None and real(array) else array
                     for array in arrays]  # fmt: skip
            for value, expected in zip(results, reference(step, node, other), strict=True):
                if not np.array_equal(value, expected):
                    raise step.refuse("its result depends on how its operands are rounded")
    return results


def reference(
    step: Step, node: ir.Node, arrays: Sequence[np.ndarray | None], op: str | None = None
) -> Sequence[np.ndarray]:
    """Compute the results of the node by ONNX's reference implementation.

    `op` may be another operator, which gets the node's attributes. The operands may differ from the
    node's own in their type.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.NodeProto()
    proto.CopyFrom(ir.serde.serialize_node(node))
    if op is not None and op != step.op:
        proto.op_type = op
        arrays = [array for array in arrays if array is not None]
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
    by_name = dict(zip((name for name in proto.output if name), results, strict=True))
    return [np.asarray(by_name.get(name)) for name in step.outputs]
