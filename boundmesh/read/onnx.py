"""ONNX networks → Graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir

from boundmesh.errors import BoundmeshError, ReadError, UnsupportedError
from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.check import check
from boundmesh.graph.graph import Graph, Node, Port
from boundmesh.graph.passes import simplify
from boundmesh.read.constants import fold, read_tensor, shape_of
from boundmesh.read.files import contents
from boundmesh.read.translate import TRANSLATIONS, Step, Value

OLDEST_OPSET = 7

REAL = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.DOUBLE: "float64",
    ir.DataType.FLOAT16: "float16",
    ir.DataType.BFLOAT16: "bfloat16",
}


def load(path: str | Path) -> Graph:
    """The network in an ONNX file (`.onnx`, `.onnx.gz`), opset 7 or newer.

    Weights are views of the file's data; external data stays memory-mapped. Raises ReadError for
    a file that is missing, damaged or no such network, UnsupportedError naming the first operator
    that cannot be translated.
    """
    path = Path(path)
    model = parse(contents(path), str(path))
    ir.external_data.set_base_dir(model.graph, path.resolve().parent)
    try:
        return translate(model, path)
    except BoundmeshError as error:
        raise type(error)(f"{path}: {error}") from error


def loads(data: bytes) -> Graph:
    """The network in the bytes of an ONNX file; raises as `load` does."""
    return translate(parse(data, "the given bytes"), data)


def parse(data: bytes, origin: str) -> ir.Model:
    """The model in `data`; raises ReadError where it is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model_from_string(data)
        if not proto.graph.output:
            raise ReadError(f"{origin}: not an ONNX network (no graph with an output in it)")
        return ir.from_proto(proto)
    except DecodeError as error:
        raise ReadError(f"{origin}: not an ONNX file, or a truncated one ({error})") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise ReadError(f"{origin}: damaged ONNX file: {error}") from error


def translate(model: ir.Model, source: Path | bytes) -> Graph:
    """The model as a checked and simplified Graph."""
    opset = model.opset_imports.get("", model.opset_imports.get("ai.onnx", 0))
    if opset < OLDEST_OPSET:
        raise ReadError(f"written for opset {opset}; opset {OLDEST_OPSET} and newer are read")
    if model.functions:
        ir.passes.common.InlinePass()(model)
    nodes = needed(model.graph)
    build = Builder(value.name for node in nodes for value in node.outputs)
    constants = {
        value.name: Constant(value.name, read_tensor(value.const_value, value.name))
        for value in model.graph.initializers.values()
    }
    free = [value for value in model.graph.inputs if value.name not in constants]
    inputs = tuple(input_port(value) for value in free)
    values: dict[str, Value] = {**constants, **enter(build, inputs)}
    for node in nodes:
        values.update(results(build, node, values, opset))
    outputs = [(value, output_node(build, value, values)) for value in model.graph.outputs]
    ports = tuple(
        Port(value.name, node.shape, REAL.get(value.dtype, inputs[0].dtype))
        for value, node in outputs
    )
    graph = build.graph(join(build, [node for _, node in outputs]), inputs, ports, source)
    graph = simplify(graph)
    check(graph)
    finite(graph)
    return graph


def needed(graph: ir.Graph) -> list[ir.Node]:
    """The nodes that the outputs depend on, in topological order."""
    graph.sort()
    wanted = {value.name for value in graph.outputs}
    kept = []
    for node in reversed(graph):
        if wanted.isdisjoint(value.name for value in node.outputs):
            continue
        kept.append(node)
        wanted.update(value.name for value in node.inputs if value is not None)
    return kept[::-1]


def input_port(value: ir.Value) -> Port:
    """A network input with its axes known: a leading axis of unknown length becomes 1.

    An axis further back may share the symbol of the leading one; any other raises ReadError.
    """
    if value.dtype not in REAL:
        raise UnsupportedError(
            f"input '{value.name}' holds {value.dtype}; supported: {', '.join(REAL.values())}"
        )
    if value.shape is None:
        raise ReadError(f"input '{value.name}' has no shape; declare one in the file")
    lengths = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    batch = lengths[0] if lengths else None
    shape = []
    for axis, length in enumerate(lengths):
        if isinstance(length, int) and length > 0:
            shape.append(length)
        elif axis == 0 or (length is not None and length == batch and isinstance(length, str)):
            shape.append(1)
        else:
            raise ReadError(
                f"input '{value.name}' has shape {lengths}, whose axis {axis} has no fixed length; "
                f"only a leading batch axis may be left open: export the network with a fixed one"
            )
    return Port(value.name, tuple(shape), REAL[value.dtype])


def enter(build: Builder, inputs: tuple[Port, ...]) -> dict[str, Value]:
    """One input node: the only input as it is, or several flat ones in a row and their slices."""
    if not inputs:
        raise ReadError("the network has no input that is not a weight")
    if len(inputs) == 1:
        return {inputs[0].name: build.input(inputs[0].shape, inputs[0].name)}
    flat = build.input((sum(port.size for port in inputs),))
    values: dict[str, Value] = {}
    start = 0
    for port in inputs:
        build.scope = port.name
        part = build.add("slice", flat, ranges=((start, start + port.size, 1),))
        values[port.name] = build.rename(build.reshape(part, port.shape), port.name)
        start += port.size
    return values


def join(build: Builder, outputs: list[Node]) -> Node:
    """The output node: the only output as it is, or the flat concatenation of several."""
    if len(outputs) == 1:
        return outputs[0]
    build.scope = "output"
    flat = [build.reshape(node, (node.size,)) for node in outputs]
    return build.add("concat", *flat, axis=0)


def output_node(build: Builder, value: ir.Value, values: dict[str, Value]) -> Node:
    if value.name not in values:
        raise ReadError(f"output '{value.name}' is made by no node")
    found = values[value.name]
    return found if isinstance(found, Node) else build.constant(found)


def results(
    build: Builder, node: ir.Node, values: dict[str, Value], opset: int
) -> Iterator[tuple[str, Value]]:
    """The values that one ONNX node adds: folded where constant, else translated."""
    build.scope = next(value.name for value in node.outputs if is_read(value))
    step = step_of(build, node, values, opset)
    if node.domain not in ("", "ai.onnx"):
        raise step.refuse(f"its domain is '{node.domain}'; only ONNX's own operators are supported")
    bounded = [value for value in step.operands if isinstance(value, Node)]
    found: Value | tuple[Value, ...]
    if step.op in ("Shape", "Size") and step.operands[0] is not None:
        found = shape_of(step, step.operands[0].shape)
    elif not bounded:
        found = fold(step, node)
    elif step.op in TRANSLATIONS:
        found = translated(step)
    else:
        raise step.refuse(f"it has no translation; supported: {', '.join(sorted(TRANSLATIONS))}")
    every = found if isinstance(found, tuple) else (found,)
    # A translation may leave out results that nothing reads.
    for name, value in zip(step.outputs, every, strict=False):
        yield name, build.rename(value, name) if isinstance(value, Node) else value


def translated(step: Step) -> Value | tuple[Value, ...]:
    try:
        return TRANSLATIONS[step.op](step)
    except (ValueError, RuntimeError, IndexError) as error:
        shapes = [list(value.shape) for value in step.operands if value is not None]
        raise ReadError(
            f"node '{step.name}' ({step.op}) does not fit its operands of shapes {shapes}: {error}"
        ) from error


def step_of(build: Builder, node: ir.Node, values: dict[str, Value], opset: int) -> Step:
    names = [None if value is None else value.name for value in node.inputs]
    missing = [name for name in names if name is not None and name not in values]
    if missing:
        raise ReadError(
            f"node '{node.name}' ({node.op_type}) reads '{missing[0]}', which no node makes"
        )
    outputs = tuple(value.name if is_read(value) else "" for value in node.outputs)
    return Step(
        node.op_type,
        node.name or build.scope,
        opset,
        tuple(None if name is None else values[name] for name in names),
        {name: attribute.value for name, attribute in node.attributes.items()},
        outputs,
        build,
    )


def is_read(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def finite(graph: Graph) -> None:
    """Raises ReadError where a weight holds NaN or infinity."""
    for name, array in graph.weights.items():
        # The extremes carry NaN and infinity, and need no second array.
        if array.size and not np.isfinite([array.min(), array.max()]).all():
            raise ReadError(f"weight '{name}' holds NaN or infinity")
