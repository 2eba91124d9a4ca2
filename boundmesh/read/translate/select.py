"""ONNX operators that pick, leave out, repeat or join elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.operators.node import Node
from boundmesh.read.translate.lookup import looked_up
from boundmesh.read.translate.step import Step, Value, positive_axis, translates


def pick(build: Builder, x: Node, axis: int, index: Sequence[int] | np.ndarray) -> Node:
    """Return x at `index` along `axis`: a slice where the places rise evenly, else a gather."""
    places = np.asarray(index, np.int64).ravel()
    steps = np.unique(np.diff(places))
    if places.size and steps.size <= 1 and (steps.size == 0 or steps[0] > 0):
        by = int(steps[0]) if steps.size else 1
        ranges = [(0, length, 1) for length in x.shape]
        ranges[axis] = (int(places[0]), int(places[-1]) + 1, by)
        return build.add("slice", x, ranges=tuple(ranges))
    return build.add("gather", x, axis=axis, index=tuple(int(place) for place in places))


def sliced(length: int, start: int, end: int, by: int) -> slice:
    """Return the slice that ONNX defines.

    Backwards, a start before the first element means the first one; in Python that slice is empty.
    """
    if by < 0 and start < -length:
        start = 0
    return slice(start, end, by)


@translates("Slice")
def slice_operator(step: Step) -> Value:
    """Slice each axis by its start, end and step; a step below zero reads backwards."""
    x = step.node()
    starts, ends = step.option(1, "starts"), step.option(2, "ends")
    axes, steps = step.option(3, "axes"), step.optional(4, "steps")
    if starts is None or ends is None:
        raise step.refuse("its starts or ends are missing")
    chosen = range(len(starts)) if axes is None else axes.ravel()
    strides = np.ones(len(starts), np.int64) if steps is None else steps
    for axis, start, end, by in zip(chosen, starts, ends, strides, strict=True):
        axis = positive_axis(axis, len(x.shape))
        places = np.arange(x.shape[axis])[sliced(x.shape[axis], int(start), int(end), int(by))]
        x = pick(step.build, x, axis, places)
    return x


@translates("Gather")
def gather(step: Step) -> Value:
    if isinstance(chosen := step.value(1), Node):
        return looked_up(step, chosen)
    x, index = step.node(0), step.constant(1, "indices")
    axis = positive_axis(step.attribute("axis", 0), len(x.shape))
    places = np.where(index < 0, index + x.shape[axis], index)
    if places.size and (places.min() < 0 or places.max() >= x.shape[axis]):
        raise step.refuse(f"an index lies outside of its axis of length {x.shape[axis]}")
    picked = pick(step.build, x, axis, places)
    return step.build.reshape(picked, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


@translates("Split")
def split(step: Step) -> Value | tuple[Value, ...]:
    """Return parts of given lengths, or of equal length with a shorter last one."""
    x = step.node()
    axis = positive_axis(step.attribute("axis", 0), len(x.shape))
    given, count = step.option(1, "split"), len(step.outputs)
    length = -(-x.shape[axis] // count)
    ends = np.cumsum([length] * count if given is None else given)
    parts = np.split(np.arange(x.shape[axis]), ends[:-1])
    return tuple(pick(step.build, x, axis, part) for part in parts)


@translates("IsNaN")
def is_nan(step: Step) -> Value:
    """Return False everywhere: what bounds are computed of is finite, and −∞ is no NaN either."""
    return Constant("", np.zeros(step.node().shape, bool))


@translates("IsInf")
def is_infinite(step: Step) -> Value:
    """Return False everywhere: what bounds are computed of is finite."""
    return Constant("", np.zeros(step.node().shape, bool))


@translates("Concat")
def concat(step: Step) -> Value:
    """Return the operands along an axis; those that are constant become constant nodes."""
    nodes = [step.node(place) for place in range(len(step.operands))]
    axis = positive_axis(step.attribute("axis"), len(nodes[0].shape))
    present = [node for node in nodes if node.shape[axis] > 0] or nodes[:1]
    return step.build.add("concat", *present, axis=axis)


@translates("Tile")
def tile(step: Step) -> Value:
    """Repeat the whole operand along each axis."""
    x, repeats = step.node(), step.constant(1, "repeats")
    for axis, count in enumerate(map(int, repeats)):
        before, length, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
        if count < 1:
            raise step.refuse(f"it repeats axis {axis} {count} times; expected 1 and more")
        once = step.build.reshape(x, (*before, 1, length, *after))
        many = step.build.broadcast(once, (*before, count, length, *after))
        x = step.build.reshape(many, (*before, count * length, *after))
    return x


@translates("Pad")
def pad(step: Step) -> Value:
    """Put a constant around the edges, or repeat elements of x there; less than zero cuts off."""
    x = step.node()
    rank = len(x.shape)
    given, value = step.option(1, "pads"), step.option(2, "value")
    listed = step.optional(3, "axes")
    if given is None:
        raise step.refuse("its pads are missing")
    axes = range(rank) if listed is None else [positive_axis(axis, rank) for axis in listed]
    count = len(given) // 2
    widths = [(0, 0)] * rank
    for axis, before, after in zip(axes, given[:count], given[count:], strict=True):
        widths[axis] = (int(before), int(after))
    for axis, (before, after) in enumerate(widths):
        if min(before, after) < 0:
            kept = range(max(0, -before), x.shape[axis] - max(0, -after))
            x = pick(step.build, x, axis, kept)
    widths = [(max(0, before), max(0, after)) for before, after in widths]
    mode = step.attribute("mode", "constant")
    if mode == "constant":
        fill = 0.0 if value is None else float(np.ravel(value)[0])
        return step.build.add("pad", x, padding=tuple(widths), value=fill)
    for axis, width in enumerate(widths):
        x = pick(step.build, x, axis, np.pad(np.arange(x.shape[axis]), width, mode=mode))
    return x
