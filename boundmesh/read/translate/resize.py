"""ONNX Resize and Upsample to the nearest element."""

from __future__ import annotations

import numpy as np

from boundmesh.operators.node import Node
from boundmesh.read.runtime import session
from boundmesh.read.translate.select import pick
from boundmesh.read.translate.step import Step, Value, translates


@translates("Resize", "Upsample")
def resize(step: Step) -> Value:
    """A gather along each axis, in every mode of coordinates and rounding that ONNX knows."""
    mode = step.attribute("mode", "nearest")
    if mode != "nearest":
        raise step.refuse(f"mode '{mode}' interpolates; mode 'nearest' is supported")
    x = step.node()
    flat = sources(step, x)
    if not flat.size:
        raise step.refuse(f"its result has the shape {list(flat.shape)} and no element")
    source = np.unravel_index(flat, x.shape)
    for axis, places in enumerate(source):
        along = np.moveaxis(places, axis, 0).reshape(places.shape[axis], -1)[:, 0]
        shape = [-1 if other == axis else 1 for other in range(places.ndim)]
        if not (places == along.reshape(shape)).all():
            raise step.refuse("it does not act on each axis alone")
        x = pick(step.build, x, axis, along)
    return x


def sources(step: Step, x: Node) -> np.ndarray:
    """Return the flat place in x that each element of the result is taken from.

    ONNX Runtime finds it by resizing an array of flat places. The rules differ between opsets and
    attributes, and counterexamples are replayed in ONNX Runtime.
    """
    import onnx

    given = {f"in{place}": setting(step, place) for place in range(1, len(step.operands))}
    names = [name if array is not None else "" for name, array in given.items()]
    node = onnx.helper.make_node(step.op, ["x", *names], ["y"], **step.attributes)
    settings = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in given.items()
        if array is not None
    ]
    graph = onnx.helper.make_graph(
        [node],
        "places",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT32, x.shape)],
        [onnx.ValueInfoProto(name="y")],
        settings,
    )
    opset = onnx.helper.make_opsetid("", step.opset)
    model = onnx.helper.make_model_gen_version(graph, opset_imports=[opset])
    places = np.arange(x.size, dtype=np.int32).reshape(x.shape)
    result: np.ndarray = session(model.SerializeToString()).run(None, {"x": places})[0]
    return result


def setting(step: Step, place: int) -> np.ndarray | None:
    """An operand beside the first, in the type that ONNX Runtime takes."""
    found = step.optional_constant(place, "scale")
    if found is None:
        return None
    return found.array.astype(np.float32) if found.array.dtype.kind == "f" else found.array
