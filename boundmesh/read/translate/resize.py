"""ONNX Resize and Upsample: each axis alone, to the nearest element or by interpolation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from boundmesh.graph.constant import Constant
from boundmesh.graph.formed import EXACT, Formed
from boundmesh.operators.node import Node
from boundmesh.read.runtime import session
from boundmesh.read.translate.along import along
from boundmesh.read.translate.select import pick
from boundmesh.read.translate.step import Step, Value, translates

INTERPOLATING = ("linear", "cubic")


@translates("Resize", "Upsample")
def resize(step: Step) -> Value:
    """Gather along each axis, or multiply by a matrix of weights along each axis."""
    mode = step.attribute("mode", "nearest")
    if mode in INTERPOLATING:
        return interpolated(step, mode)
    if mode != "nearest":
        raise step.refuse(f"mode '{mode}' is not defined; nearest, linear and cubic are")
    x = step.node()
    flat = resized(step, np.arange(x.size, dtype=np.int32).reshape(x.shape))
    if not flat.size:
        raise step.refuse(f"its result has the shape {list(flat.shape)} and no element")
    source = np.unravel_index(flat, x.shape)
    for axis, places in enumerate(source):
        along_axis = np.moveaxis(places, axis, 0).reshape(places.shape[axis], -1)[:, 0]
        shape = [-1 if dim == axis else 1 for dim in range(places.ndim)]
        if not (places == along_axis.reshape(shape)).all():
            raise step.refuse("it does not act on each axis alone")
        x = pick(step.build, x, axis, along_axis)
    return x


def resized(step: Step, array: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime makes of an array.

    Of flat places it finds those that the elements of the result are taken from. The rules differ
    between opsets and attributes, and counterexamples are replayed in ONNX Runtime.
    """
    import onnx

    given = {f"in{place}": setting(step, place) for place in range(1, len(step.operands))}
    names = [name if value is not None else "" for name, value in given.items()]
    node = onnx.helper.make_node(step.op, ["x", *names], ["y"], **step.attributes)
    settings = [
        onnx.numpy_helper.from_array(value, name)
        for name, value in given.items()
        if value is not None
    ]
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    graph = onnx.helper.make_graph(
        [node],
        "places",
        [onnx.helper.make_tensor_value_info("x", kind, array.shape)],
        [onnx.ValueInfoProto(name="y")],
        settings,
    )
    opset = onnx.helper.make_opsetid("", step.opset)
    model = onnx.helper.make_model_gen_version(graph, opset_imports=[opset])
    found: np.ndarray = session(model.SerializeToString()).run(None, {"x": array})[0]
    return found


def setting(step: Step, place: int) -> np.ndarray | None:
    """Return an operand beside the first, in the type that ONNX Runtime takes."""
    constant = step.optional_constant(place, "scale")
    if constant is None:
        return None
    return constant.array.astype(np.float32) if constant.array.dtype.kind == "f" else constant.array


def interpolated(step: Step, mode: str) -> Node:
    """Multiply each axis by its matrix of weights; ONNX Runtime gives the lengths."""
    x = step.node()
    if step.attribute("antialias", 0):
        raise step.refuse("antialias widens its filter; antialias=0 is supported")
    if step.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise step.refuse("keep_aspect_ratio_policy is supported for 'stretch' alone")
    lengths = resized(step, np.zeros(x.shape, np.float32)).shape
    axes = step.attribute("axes") or range(len(x.shape))
    scales = scales_of(step)
    for place, axis in enumerate(axes):
        axis = int(axis) % len(x.shape)
        scale = Fraction(lengths[axis], x.shape[axis])
        if scales is not None:
            scale = Fraction(float(scales[place]))
        if scale != 1 or lengths[axis] != x.shape[axis]:
            matrix = weights(step, mode, x.shape[axis], lengths[axis], scale)
            x = along(step.build, x, axis, matrix)
    return x


def scales_of(step: Step) -> np.ndarray | None:
    """Return the factors, where they are given in place of lengths."""
    place = 1 if step.op == "Upsample" or step.opset < 11 else 2
    given = step.option(place, "scales")
    return None if given is None or not given.size else given


def coordinate(step: Step, place: int, length: int, result: int, scale: Fraction) -> Fraction:
    """Return the place in the operand that ONNX takes an element of the result at."""
    early = "asymmetric" if step.op == "Upsample" or step.opset < 11 else "half_pixel"
    mode, half = step.attribute("coordinate_transformation_mode", early), Fraction(1, 2)
    if mode == "asymmetric":
        return place / scale
    if mode == "align_corners":
        return Fraction(place * (length - 1), result - 1) if result > 1 else Fraction(0)
    if mode == "pytorch_half_pixel" and result == 1:
        return Fraction(0)
    shifted = Fraction(0)
    if mode == "half_pixel_symmetric":
        shifted = Fraction(length, 2) * (1 - result / (scale * length))
    elif mode not in ("half_pixel", "pytorch_half_pixel"):
        raise step.refuse(f"coordinate_transformation_mode '{mode}' is not supported")
    return shifted + (place + half) / scale - half


def weights(step: Step, mode: str, length: int, result: int, scale: Fraction) -> Constant:
    """Return the matrix `[result, length]` of weights, exact rationals rounded once."""
    exact: list[dict[int, Fraction]] = []
    for place in range(result):
        position = coordinate(step, place, length, result, scale)
        row: dict[int, Fraction] = {}
        for spot, weight in (linear if mode == "linear" else cubic)(step, position, length).items():
            spot = min(max(spot, 0), length - 1)
            row[spot] = row.get(spot, Fraction(0)) + weight
        exact.append(row)
    matrix = np.zeros((result, length))
    rounded = False
    for place, row in enumerate(exact):
        for spot, weight in row.items():
            matrix[place, spot] = float(weight)
            rounded = rounded or Fraction(matrix[place, spot]) != weight
    return Constant("", matrix, Formed(None, 1) if rounded else EXACT)


def linear(step: Step, position: Fraction, length: int) -> dict[int, Fraction]:
    """Return the weights of both neighbours; a place beyond an end counts as the end."""
    position = min(max(position, Fraction(0)), Fraction(length - 1))
    left = math.floor(position)
    return {left: 1 - (position - left), left + 1: position - left}


def cubic(step: Step, position: Fraction, length: int) -> dict[int, Fraction]:
    """Return the weights of four neighbours (Keys 1981); those outside may count as none."""
    a, left = Fraction(step.real("cubic_coeff_a", -0.75)), math.floor(position)
    r = position - left
    far, near = r + 1, 2 - r
    weights = {
        left - 1: ((a * far - 5 * a) * far + 8 * a) * far - 4 * a,
        left: ((a + 2) * r - (a + 3)) * r * r + 1,
        left + 1: ((a + 2) * (1 - r) - (a + 3)) * (1 - r) ** 2 + 1,
        left + 2: ((a * near - 5 * a) * near + 8 * a) * near - 4 * a,
    }
    if step.attribute("exclude_outside", 0):
        weights = {spot: weight for spot, weight in weights.items() if 0 <= spot < length}
        total = sum(weights.values())
        weights = {spot: weight / total for spot, weight in weights.items()}
    return weights
