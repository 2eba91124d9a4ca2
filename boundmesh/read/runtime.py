"""Runs a network in ONNX Runtime on the CPU, the reference for counterexamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boundmesh.errors import ReadError
from boundmesh.graph.graph import Graph, Port
from boundmesh.read.files import contents

EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
STAGED = frozenset(("GroupNormalization", "LayerNormalization", "RMSNormalization"))
"""Operators that compute means in a type of their own: float32, unless the file names another."""
COARSEST_FIRST = ("bfloat16", "float16", "float32", "float64")
SPINNING = "session.intra_op.allow_spinning"


def session(model: bytes, folder: Path | None = None, fused: bool = True) -> Any:
    """Make an onnxruntime.InferenceSession of the model, whose external data lies in `folder`.

    Unless `fused`, every node is run as it is in the file. Raises ReadError where ONNX Runtime
    refuses the model.
    """
    # Imported here, so that what never replays never waits for it.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Its threads must not spin while torch computes.
    options.add_session_config_entry(SPINNING, "0")
    if folder is not None:
        options.add_session_config_entry(EXTERNAL_DATA, str(folder))
    try:
        # Its fallback is the same provider again, and prints to standard output.
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:
        # ONNX Runtime's exceptions have no base class of their own.
        raise ReadError(f"ONNX Runtime refuses the network: {error}") from error


class Runtime:
    """Runs the network of `graph.source`: `runtime(x)` maps a flat input to the flat output.

    `also` names values inside the network that `values` returns. Raises ReadError where the graph
    has no source or ONNX Runtime refuses it.
    """

    def __init__(self, graph: Graph, also: Sequence[str] = ()) -> None:
        if graph.source is None:
            raise ReadError("the network has no ONNX source to run; load it from a file")
        refuse_bfloat16(graph)
        model = source_bytes(graph.source)
        folder = graph.source.resolve().parent if isinstance(graph.source, Path) else None
        # A fusion that an output inside cuts in two may become another one, less exact.
        fused = not also
        also = [*graph.exposed, *also]
        self._session = session(exposing(model, also) if also else model, folder, fused)
        declared = [length for port in self._session.get_inputs() for length in port.shape]
        if any(isinstance(length, int) and length < 1 for length in declared):
            # Some exporters write 0 or −1 for an open axis, which ONNX Runtime takes literally.
            self._session = session(shaped(exposing(model, also), graph.inputs), folder, fused)
        self._inputs, self._also = graph.inputs, list(also)[len(graph.exposed) :]
        self._outputs = [port.name for port in graph.outputs]
        self._size = sum(port.size for port in graph.outputs)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute the flat output at the flat input x, rounded to the inputs' types first."""
        outputs = np.concatenate([np.ravel(y) for y in self._run(self._outputs, x)])
        if outputs.size != self._size:
            raise ReadError(
                f"ONNX Runtime gives {outputs.size} outputs, the network as read {self._size}; "
                "this is an error of boundmesh: please report the network"
            )
        return outputs

    def values(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the values that `also` names, at the flat input x."""
        # Without names ONNX Runtime would give all outputs.
        inner = self._run(self._also, x) if self._also else []
        return dict(zip(self._also, inner, strict=True))

    def _run(self, names: list[str], x: np.ndarray) -> list[np.ndarray]:
        feed, start = {}, 0
        for port in self._inputs:
            part = np.ravel(x)[start : start + port.size]
            feed[port.name] = part.reshape(port.shape).astype(port.dtype)
            start += port.size
        try:
            result: list[np.ndarray] = self._session.run(names, feed)
            return result
        except Exception as error:
            raise ReadError(f"ONNX Runtime cannot run the network: {error}") from error


def refuse_bfloat16(graph: Graph) -> None:
    """Raise ReadError for inputs and outputs of bfloat16, a type that NumPy lacks.

    Values inside of a network may be of that type where ONNX Runtime runs them.
    """
    for role, ports in (("input", graph.inputs), ("output", graph.outputs)):
        for port in ports:
            if port.dtype == "bfloat16":
                raise ReadError(
                    f"{role} '{port.name}' is of the type bfloat16, which ONNX Runtime does not "
                    "exchange with Python, so nothing can be compared or replayed; export the "
                    f"network with an {role} of float32 and a Cast"
                )


class Runtimes:
    """Runs the networks that a graph was made of: maps a flat input to their flat outputs.

    Raises the errors of `Runtime`.
    """

    def __init__(self, graph: Graph) -> None:
        networks = {id(part.graph): part.graph for part in graph.parts}
        sessions = {key: Runtime(network) for key, network in networks.items()}
        self._parts = [(sessions[id(part.graph)], list(part.places)) for part in graph.parts]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        flat = np.ravel(x)
        return np.concatenate([runtime(flat[places]) for runtime, places in self._parts])


def runtime_of(graph: Graph) -> Runtime | Runtimes:
    """Return what runs the graph's source, or the sources of the networks it was made of."""
    return Runtimes(graph) if graph.parts else Runtime(graph)


def source_bytes(source: Path | bytes) -> bytes:
    """Return the bytes of an ONNX file that is given by its path or its bytes."""
    return contents(source) if isinstance(source, Path) else source


def exposing(data: bytes, names: Sequence[str]) -> bytes:
    """Return the network in `data` with the values `names` as outputs."""
    import onnx

    model = onnx.load_model_from_string(data)
    present = {output.name for output in model.graph.output}
    missing = [name for name in names if name not in present]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
    result: bytes = model.SerializeToString()
    return result


def shaped(data: bytes, inputs: Sequence[Port]) -> bytes:
    """Return the network in `data` with the ports' input shapes, and output shapes left open."""
    import onnx

    model = onnx.load_model_from_string(data)
    shapes = {port.name: port.shape for port in inputs}
    for value in model.graph.input:
        if value.name in shapes:
            del value.type.tensor_type.shape.dim[:]
            for length in shapes[value.name]:
                value.type.tensor_type.shape.dim.add(dim_value=length)
    for value in (*model.graph.output, *model.graph.value_info):
        value.type.tensor_type.ClearField("shape")
    result: bytes = model.SerializeToString()
    return result


@dataclass(frozen=True)
class Inside:
    """The values inside a network.

    names      the values that a node of the graph is named after, in the file's order
    narrowest  the coarsest type of real numbers that the network computes in
    """

    names: tuple[str, ...]
    narrowest: str


def inside(graph: Graph) -> Inside:
    """Return the values inside the graph's source."""
    import onnx

    assert graph.source is not None
    float32 = onnx.TensorProto.FLOAT
    nodes = onnx.load_model_from_string(source_bytes(graph.source)).graph.node
    names = [name for node in nodes for name in node.output if name in graph.by_name]
    types = {port.dtype for port in (*graph.inputs, *graph.outputs)}
    casts = [_number(node, "to", float32) for node in nodes if node.op_type == "Cast"]
    stages = [_number(node, "stash_type", float32) for node in nodes if node.op_type in STAGED]
    kinds = (*casts, *stages)
    types.update(onnx.helper.tensor_dtype_to_np_dtype(kind).name for kind in kinds)
    return Inside(tuple(names), next((kind for kind in COARSEST_FIRST if kind in types), "float32"))


def _number(node: Any, name: str, default: int) -> int:
    """Return the number that an ONNX node has as the attribute `name`."""
    numbers = (attribute.i for attribute in node.attribute if attribute.name == name)
    return next(numbers, default)
