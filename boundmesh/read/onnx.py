"""Reads ONNX networks as Graphs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.build import Builder
from boundmesh.graph.check import check
from boundmesh.graph.graph import Graph, Port
from boundmesh.graph.passes import simplify
from boundmesh.read.files import contents
from boundmesh.read.nodes import name_of, run
from boundmesh.read.open_axes import UNKNOWN, KnownShapes
from boundmesh.read.ports import enter, input_ports, leave
from boundmesh.read.shapes import forget_numbers
from boundmesh.read.translate import Value

OLDEST_OPSET = 7


def load(path: str | Path, *, shapes_only: bool = False, lengths: KnownShapes = UNKNOWN) -> Graph:
    """Read the network in an ONNX file (`.onnx`, `.onnx.gz`), opset 7 or newer.

    `lengths` gives shapes of inputs whose axes the file leaves open.
    Weights are views of the file's data; external data stays memory-mapped. With `shapes_only`
    large external data is not read, and need not exist: weights are stand-ins of the right shapes.
    Raises ReadError for a file that is missing, damaged or no such network. Raises
    UnsupportedError, which names the first operator that cannot be translated.
    """
    path = Path(path)
    model = parse(contents(path), str(path))
    ir.external_data.set_base_dir(model.graph, path.resolve().parent)
    if shapes_only:
        forget_numbers(model)
    try:
        return translate(model, path, shapes_only=shapes_only, lengths=lengths)
    except BoundmeshError as error:
        raise type(error)(f"{path}: {error}") from error


def load_exposed(
    source: Path | bytes, names: tuple[str, ...], lengths: KnownShapes = UNKNOWN
) -> Graph:
    """Read a network once more, with these values inside it as further outputs.

    Raises ReadError where the file has no such value, and the errors of `load`.
    """
    data = source if isinstance(source, bytes) else contents(source)
    model = parse(data, "the given bytes" if isinstance(source, bytes) else str(source))
    if isinstance(source, Path):
        ir.external_data.set_base_dir(model.graph, source.resolve().parent)
    values = {value.name: value for node in model.graph for value in node.outputs}
    for name in names:
        if name not in values:
            raise ReadError(
                f"the network has no value '{name}', which the property declares hidden"
            )
        model.graph.outputs.append(values[name])
    return replace(translate(model, source, lengths=lengths), exposed=names)


def loads(data: bytes, *, lengths: KnownShapes = UNKNOWN, fold: bool = True) -> Graph:
    """Read the network in the bytes of an ONNX file; raises the errors of `load`.

    Without `fold` no weight of the graph is computed from several weights of the file.
    """
    return translate(parse(data, "the given bytes"), data, lengths=lengths, fold=fold)


def parse(data: bytes, origin: str) -> ir.Model:
    """Parse the model in `data`; raise ReadError where it is none."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load_model_from_string(data)
        if not proto.graph.output:
            raise ReadError(f"{origin}: not an ONNX network (no graph with an output in it)")
        with silenced():
            return ir.from_proto(proto)
    except DecodeError as error:
        raise ReadError(f"{origin}: not an ONNX file, or a truncated one ({error})") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise ReadError(f"{origin}: damaged ONNX file: {error}") from error


@contextmanager
def silenced() -> Iterator[None]:
    """Silence the log of onnx_ir in the context: the error that follows explains faults better."""
    log = logging.getLogger("onnx_ir")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def translate(
    model: ir.Model,
    source: Path | bytes,
    *,
    shapes_only: bool = False,
    lengths: KnownShapes = UNKNOWN,
    fold: bool = True,
) -> Graph:
    """Translate the model into a checked and simplified Graph.

    With `shapes_only` weights may be stand-ins, which are not checked. Without `fold` no scaling is
    folded into the layer before it.
    """
    entry = enter_model(model, lengths)
    # NaN and infinity that a weight comes to are refused below.
    with silenced(), np.errstate(all="ignore"):
        run(entry.build, model.graph, entry.values, entry.opset)
    graph = leave_model(model, entry, source, fold=fold)
    if not shapes_only:
        finite(graph)
    return graph


@dataclass(frozen=True)
class Entry:
    """A model whose inputs are in a Graph that is being made, and none of whose nodes is.

    build   the graph
    values  the inputs by name
    inputs  the ports of the inputs
    opset   the version of the operator set
    """

    build: Builder
    values: dict[str, Value]
    inputs: tuple[Port, ...]
    opset: int


def enter_model(model: ir.Model, lengths: KnownShapes) -> Entry:
    """Inline the functions of a model and begin a Graph with its inputs.

    Raises ReadError for an old opset, and the errors of `input_ports`.
    """
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        raise ReadError(f"written for opset {opset}; opset {OLDEST_OPSET} and newer are read")
    if model.functions:
        InlinePass()(model)
    inputs = input_ports(model.graph, lengths)
    names = [name_of(value) for node in model.graph for value in node.outputs]
    build = Builder(reserved=[*names, *(port.name for port in inputs)])
    return Entry(build, enter(build, inputs), inputs, opset)


def opset_of(model: ir.Model) -> int:
    """Return the version of ONNX's own operator set that a model is written for."""
    return model.opset_imports.get("", model.opset_imports.get("ai.onnx", 0))


def leave_model(model: ir.Model, entry: Entry, source: Path | bytes, *, fold: bool = True) -> Graph:
    """Return the checked and simplified Graph of a model whose nodes have all been added."""
    output, outputs = leave(entry.build, model.graph.outputs, entry.values, entry.inputs)
    graph = simplify(entry.build.graph(output, entry.inputs, outputs, source), fold=fold)
    check(graph)
    return graph


def finite(graph: Graph) -> None:
    """Raise ReadError where a weight holds NaN or infinity."""
    for name, array in graph.weights.items():
        # The extremes carry NaN and infinity, and need no second array.
        if array.size and not np.isfinite([array.min(), array.max()]).all():
            reader = next(node for node in graph.nodes if name in node.weights)
            raise ReadError(
                f"weight '{name}' holds NaN or infinity; operator '{reader.op}' (node "
                f"'{reader.name}') reads it, and bounds need finite weights"
            )
