"""ONNX operators that read or write elements at constant places."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.operators.node import Node, Shape
from boundmesh.read.translate.arithmetic import larger, plus, scale, smaller, times
from boundmesh.read.translate.select import pick
from boundmesh.read.translate.step import Step, Value, positive_axis, translates

REDUCTIONS: dict[str, Callable[[Builder, Value, Value], Node]] = {
    "add": plus,
    "mul": times,
    "max": larger,
    "min": smaller,
}


def taken(build: Builder, x: Node, places: np.ndarray) -> Node:
    """Return the elements of x at flat `places`, in the shape of `places`."""
    flat = build.reshape(x, (x.size,))
    return build.reshape(pick(build, flat, 0, places.ravel()), places.shape)


def wrapped(step: Step, index: np.ndarray, length: int | np.ndarray) -> np.ndarray:
    """Return the index counted from the front; raises UnsupportedError where it lies outside."""
    places = np.where(index < 0, index + length, index)
    if places.size and ((places < 0) | (places >= length)).any():
        raise step.refuse(f"an index lies outside of its axis of length {length}")
    return np.asarray(places, np.int64)


@translates("GatherElements")
def gather_elements(step: Step) -> Value:
    """Return `y[i][j] = x[index[i][j]][j]`, for axis 0."""
    x, index = step.node(0), step.constant(1, "indices")
    return taken(step.build, x, along_axis(step, x.shape, index))


def along_axis(step: Step, shape: Shape, index: np.ndarray) -> np.ndarray:
    """Return the flat places of an index along the attribute `axis`, in the index's shape."""
    axis = positive_axis(step.attribute("axis", 0), len(shape))
    where: list[np.ndarray] = list(np.indices(index.shape))
    where[axis] = wrapped(step, index, shape[axis])
    return np.asarray(np.ravel_multi_index(tuple(where), shape))


@translates("GatherND")
def gather_nd(step: Step) -> Value:
    """Return slices of x at the places that the last axis of the indices lists.

    The first `batch_dims` axes are common to x and the indices.
    """
    x, index = step.node(0), step.constant(1, "indices")
    batch = step.attribute("batch_dims", 0)
    flat = np.arange(x.size).reshape(x.shape)
    lengths = np.asarray(x.shape[batch : batch + index.shape[-1]])
    places = wrapped(step, index, lengths)
    if batch == 0:
        return taken(step.build, x, flat[tuple(np.moveaxis(places, -1, 0))])
    lead = x.shape[:batch]
    parts = [flat[spot][tuple(np.moveaxis(places[spot], -1, 0))] for spot in np.ndindex(*lead)]
    return taken(step.build, x, np.stack(parts).reshape(lead + parts[0].shape))


@translates("ScatterND")
def scatter_nd(step: Step) -> Value:
    """Return x with slices replaced, or combined, at places listed by the indices' last axis."""
    x, index = step.node(0), step.constant(1, "indices")
    flat = np.arange(x.size).reshape(x.shape)
    places = wrapped(step, index, np.asarray(x.shape[: index.shape[-1]]))
    return written(step, x, flat[tuple(np.moveaxis(places, -1, 0))])


@translates("ScatterElements", "Scatter")
def scatter_elements(step: Step) -> Value:
    """Return `y[index[i][j]][j] = updates[i][j]` for axis 0, or x and updates combined there."""
    x, index = step.node(0), step.constant(1, "indices")
    return written(step, x, along_axis(step, x.shape, index))


def written(step: Step, x: Node, places: np.ndarray) -> Node:
    """Return x with the updates, operand 2, written to the flat `places` one after the other."""
    build, updates, kind = step.build, step.node(2), step.attribute("reduction", "none")
    if kind not in ("none", *REDUCTIONS):
        raise step.refuse(f"its reduction '{kind}' is not defined")
    flat = build.reshape(x, (x.size,))
    source = build.reshape(updates, (updates.size,))
    for chosen in once_each(places.ravel()) if kind != "none" else [np.arange(places.size)]:
        spots, news = places.ravel()[chosen], pick(build, source, 0, chosen)
        if kind != "none":
            news = REDUCTIONS[kind](build, pick(build, flat, 0, spots), news)
        origin = np.arange(flat.size)
        # Where a place occurs several times, the last update stays.
        origin[spots] = flat.size + np.arange(len(spots))
        flat = pick(build, build.add("concat", flat, news, axis=0), 0, origin)
    return build.reshape(flat, x.shape)


def once_each(places: np.ndarray) -> Iterator[np.ndarray]:
    """Return parts of the positions in `places`. No place occurs twice in a part."""
    rest = np.arange(places.size)
    while rest.size:
        _, first = np.unique(places[rest], return_index=True)
        first.sort()
        yield rest[first]
        rest = np.delete(rest, first)


@translates("Trilu")
def triangle(step: Step) -> Value:
    """Return the upper or the lower triangle of the last two axes; all else becomes zero."""
    x, k = step.node(0), step.optional(1, "k")
    diagonal = 0 if k is None else int(np.ravel(k)[0])
    whole = np.ones(x.shape[-2:])
    kept = np.triu(whole, diagonal) if step.attribute("upper", 1) else np.tril(whole, diagonal)
    return scale(step.build, x, kept)
