"""ONNX operators that order elements."""

from __future__ import annotations

import numpy as np

from boundmesh.read.translate.arithmetic import negative
from boundmesh.read.translate.step import Step, Value, positive_axis, translates


@translates("ArgMax", "ArgMin")
def argmax(step: Step) -> Value:
    """Return the place of the largest element, or of the least one."""
    build, x = step.build, step.node()
    axis = positive_axis(step.attribute("axis", 0), len(x.shape))
    x = negative(build, x) if step.op == "ArgMin" else x
    place = build.add("argmax", x, axis=axis, last=bool(step.attribute("select_last_index", 0)))
    if not step.attribute("keepdims", 1):
        return place
    return build.reshape(place, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


@translates("TopK")
def top_k(step: Step) -> Value | tuple[Value, ...]:
    """Return the k largest elements in falling order, or the k least ones in rising order.

    The second result has their places. Of equal elements the first counts, as in ONNX Runtime.
    """
    build, x, given = step.build, step.node(), step.option(1, "k")
    if given is None:
        raise step.refuse("its k is missing")
    axis, count = positive_axis(step.attribute("axis", -1), len(x.shape)), int(np.ravel(given)[0])
    if not 0 < count <= x.shape[axis]:
        raise step.refuse(f"it takes {count} of {x.shape[axis]} elements")
    least = not step.attribute("largest", 1)
    x = negative(build, x) if least else x
    if count == 1:
        peak = build.add("max", x, axis=axis)
        largest = build.reshape(peak, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    else:
        largest = build.add("top", x, axis=axis, count=count)
    values = negative(build, largest) if least else largest
    if not any(step.outputs[1:]):
        return values
    places = build.add("top_places", x, axis=axis, count=count)
    build.kinds[places.name], build.types[places.name] = "i", "int64"
    build.reach[places.name] = float(x.shape[axis])
    return values, places
