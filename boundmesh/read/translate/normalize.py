"""ONNX normalisations over groups, vectors and means."""

from __future__ import annotations

import math

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import quotient
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import at_least, minus, scale, shift, times
from boundmesh.read.translate.linear import limited, standardized
from boundmesh.read.translate.step import Step, Value, positive_axis, translates

SMALLEST = {1: 2.0**-126, 2: 2.0**-149}
"""A sum that is smaller counts as this number: the smallest one whose inverse, or the inverse of
whose root, float32 has."""


@translates("GroupNormalization")
def group_normalization(step: Step) -> Value:
    """Normalise over the channels of a group and all further axes, then `·scale + bias`.

    Scale and bias hold one number per group before opset 21, and one per channel from then on.
    """
    build, x, groups = step.build, step.node(), step.attribute("num_groups")
    batch, channels, *rest = x.shape
    if channels % groups:
        raise step.refuse(f"{groups} groups do not divide {channels} channels")
    split = build.reshape(x, (batch, groups, x.size // (batch * groups)))
    result = standardized(build, split, (2,), step.real("epsilon", 1e-5))
    by_group = step.opset < 21
    if not by_group:
        result = build.reshape(result, x.shape)
    shape = (-1, 1) if by_group else (-1, *(1,) * len(rest))
    gain, bias = (
        step.known(index, name).moved(lambda array: array.reshape(shape))
        for index, name in ((1, "scale"), (2, "bias"))
    )
    return build.reshape(shift(build, scale(build, result, gain), bias), x.shape)


@translates("RMSNormalization")
def rms_normalization(step: Step) -> Value:
    """Return `x/√(mean(x²) + ε)` over the axes from `axis` on, then `·scale`."""
    build, x = step.build, step.node()
    first = positive_axis(step.attribute("axis", -1), len(x.shape))
    axes = tuple(range(first, len(x.shape)))
    squares = mean(build, build.add("power", x, exponent=2.0), axes)
    root = build.add("sqrt", shift(build, squares, step.real("epsilon", 1e-5)))
    normal = times(build, x, build.add("reciprocal", root))
    limit = math.sqrt(math.prod(x.shape[axis] for axis in axes))
    return times(build, limited(build, normal, limit), step.value(1))


def mean(build: Builder, x: Node, axes: tuple[int, ...]) -> Node:
    """Return the mean over `axes`, which keep the length 1."""
    count = float(np.prod([x.shape[axis] for axis in axes]))
    return scale(build, build.add("sum", x, axes=axes), quotient(1.0, count))


@translates("LpNormalization")
def lp_normalization(step: Step) -> Value:
    """Return `x/‖x‖` along one axis, for the 1-norm or the 2-norm; 0/0 is 0, as in ONNX Runtime.

    A norm below the smallest number of float32, or whose square is, counts as zero.
    """
    build, x, p = step.build, step.node(), step.attribute("p", 2)
    axis = positive_axis(step.attribute("axis", -1), len(x.shape))
    if p not in (1, 2):
        raise step.refuse(f"its norm has p = {p}; 1 and 2 are supported")
    sizes = build.add("abs", x) if p == 1 else build.add("power", x, exponent=2.0)
    norm = at_least(build, build.add("sum", sizes, axes=(axis,)), SMALLEST[p])
    norm = norm if p == 1 else build.add("sqrt", norm)
    return limited(build, times(build, x, build.add("reciprocal", norm)), 1.0)


@translates("MeanVarianceNormalization")
def mean_variance_normalization(step: Step) -> Value:
    """Return `(x − mean)/(√variance + 10⁻⁹)` over `axes`."""
    build, x = step.build, step.node()
    axes = tuple(positive_axis(axis, len(x.shape)) for axis in step.attribute("axes", (0, 2, 3)))
    centered = minus(build, x, mean(build, x, axes))
    variance = mean(build, build.add("power", centered, exponent=2.0), axes)
    spread = shift(build, build.add("sqrt", variance), 1e-9)
    normal = times(build, centered, build.add("reciprocal", spread))
    limit = math.sqrt(math.prod(x.shape[axis] for axis in axes))
    return limited(build, normal, limit)
