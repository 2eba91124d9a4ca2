"""Accepts inputs, labels and radii in any form that a user may pass, and checks them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.property import Ball, Box
from boundmesh.ranges import shown
from boundmesh.rational import array_of
from boundmesh.regions import NORMS, ends_of

Clip = tuple[float, float]


@dataclass(frozen=True)
class Inputs:
    """N inputs, and the kind of change that each of them may undergo.

    points  `[N, inputs]`, float64
    shape   the shape of one input, as it was given
    norm    1, 2 or ∞: in which norm a change is measured
    clip    the range to which changed inputs are cut (None: they are not cut)
    """

    points: np.ndarray
    shape: tuple[int, ...]
    norm: float
    clip: Clip | None

    def __len__(self) -> int:
        return len(self.points)

    def region(self, index: int, radius: float | Fraction) -> Box | Ball:
        """Make the region of all changes of an input by at most `radius`, exactly."""
        if self.norm == math.inf:
            return Box.around(self.points[index], radius, self.clip)
        return Ball(self.points[index], radius, self.norm, self.clip)

    def regions(
        self, indices: Sequence[int], radii: Sequence[float | Fraction]
    ) -> list[Box | Ball]:
        """Make the regions of several inputs."""
        return [self.region(index, radius) for index, radius in zip(indices, radii, strict=True)]


def array_of_inputs(inputs: Any) -> np.ndarray:
    """Return inputs as a float64 array `[N, *input_shape]` with N ≥ 1.

    Raises BoundmeshError for anything but finite numbers of one shape.
    """
    array = array_of(inputs, "the array of inputs")
    if array.dtype == object:
        raise BoundmeshError("the inputs hold numbers that no float64 holds; round them")
    if not array.ndim or not len(array):
        raise BoundmeshError(
            f"the inputs have the shape {list(array.shape)}; expected [N, …], with N ≥ 1"
        )
    finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if not finite.all():
        raise BoundmeshError(f"input {int(np.argmin(finite))} holds NaN or infinity")
    return array


def inputs_for(graph: Graph, array: np.ndarray, norm: Any, clip: Any) -> Inputs:
    """Return inputs `[N, *input_shape]` that fit a network.

    Their shape is that of the network's input, with or without axes of length 1, or flat. Raises
    BoundmeshError for another shape, norm or clip.
    """
    if len(graph.inputs) != 1:
        names = ", ".join(port.name for port in graph.inputs)
        raise BoundmeshError(
            f"the network has {len(graph.inputs)} inputs ({names}), and an image is one; use "
            "boundmesh.verify with a Property"
        )
    (port,) = graph.inputs
    batch = 1 if port.shape and port.shape[0] == 1 else 0
    wanted, given = port.shape[batch:], array.shape[1:]
    if without_ones(given) not in (without_ones(port.shape), (port.size,)[: port.size > 1]):
        raise BoundmeshError(
            f"the inputs have the shape {list(array.shape)}; the network takes "
            f"{[*port.shape]}, so expected [N, {', '.join(map(str, wanted))}], with the axis of "
            "the N inputs in front even if there is one"
        )
    norm, clip = norm_of(norm), clip_of(clip)
    points = np.ascontiguousarray(array.reshape(len(array), -1))
    if clip is not None:
        outside = ((points < clip[0]) | (points > clip[1])).any(axis=1)
        if outside.any():
            raise BoundmeshError(
                f"{outside.sum()} of {len(points)} inputs, first input {int(outside.argmax())}, "
                f"lie outside of clip {clip[0]:g}…{clip[1]:g}; give clip in the units of the inputs"
            )
    return Inputs(points, given, norm, clip)


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape without axes of length 1."""
    return tuple(length for length in shape if length != 1)


def classes_of(graph: Graph) -> int:
    """Return the number of classes; raise BoundmeshError unless outputs are scores of classes."""
    shape = graph[graph.output].shape
    if len(without_ones(shape)) != 1:
        raise BoundmeshError(
            f"the network's output has the shape {list(shape)}; expected a score for each of at "
            "least two classes: use boundmesh.verify with a Property for other outputs"
        )
    return graph[graph.output].size


def labels_of(labels: Any, count: int, classes: int) -> np.ndarray:
    """Return labels as whole numbers `[count]`.

    Raises BoundmeshError where there are more or fewer, or one is not from 0 to classes − 1.
    """
    array = array_of(labels, "the array of labels")
    if without_ones(array.shape) != without_ones((count,)):
        raise BoundmeshError(
            f"the labels have the shape {list(array.shape)}; expected [{count}], the number of a "
            "class for each input"
        )
    flat = array.reshape(-1)
    # Written so that NaN is wrong.
    right = [0 <= value < classes and value == int(value) for value in flat.tolist()]
    if not all(right):
        index = right.index(False)
        raise BoundmeshError(
            f"the label of input {index} is {float(flat[index]):g}; expected a whole number from 0 "
            f"to {classes - 1}, as the network has {classes} outputs"
        )
    return flat.astype(np.int64)


def norm_of(norm: Any) -> float:
    """Return the norm 1, 2 or ∞, given as a number or as text; raise BoundmeshError for others."""
    known = {"1": 1.0, "2": 2.0, "inf": math.inf}
    if isinstance(norm, str) and norm in known:
        return known[norm]
    if isinstance(norm, int | float | np.number) and norm in NORMS and norm is not True:
        return float(norm)
    raise BoundmeshError(f"norm is {shown(norm)}; expected 1, 2 or inf")


def clip_of(clip: Any) -> Clip | None:
    """Return the clip as two numbers, the smaller first; raise BoundmeshError for others."""
    if clip is None:
        return None
    low, high = ends_of(clip)
    return float(low), float(high)
