"""The transposes of affine operators, as nodes: the backward pass of a network as a network.

A transpose maps a value G of the shape of a node's output to one value for each of its inputs, so
that `⟨G, f(x) − f(0)⟩ = Σᵢ ⟨Gᵢ, xᵢ⟩`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from boundmesh.errors import UnsupportedError
from boundmesh.operators.batch_convolution import transposed_lengths
from boundmesh.operators.node import Node, Shape

MOST = 2**22
"""The most numbers in the matrix of a selection."""


class Add(Protocol):
    """Adds nodes to a graph that is being built."""

    def add(
        self,
        op: str,
        *inputs: Node,
        weights: Sequence[np.ndarray] = (),
        shape: Shape | None = None,
        **attributes: Any,
    ) -> Node: ...


Arrays = Sequence[np.ndarray]
Transpose = Callable[[Add, Node, Arrays, Node], tuple[Node, ...]]


def linear(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return (build.add("linear", g, weights=(np.ascontiguousarray(weights[0].T),)),)


def conv(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    lengths = node.input_shapes[0][2:]
    reached = transposed_lengths(node, node.shape[2:], weights[0].shape[2:])
    left = tuple(length - reach for length, reach in zip(lengths, reached, strict=True))
    attributes = {key: node[key] for key in ("stride", "dilation", "padding", "groups")}
    return (
        build.add(
            "conv_transpose", g, weights=(weights[0],), output_padding=left, **attributes
        ),
    )  # fmt: skip


def conv_transpose(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    attributes = {key: node[key] for key in ("stride", "dilation", "padding", "groups")}
    pulled = build.add("conv", g, weights=(weights[0],), **attributes)
    ranges = tuple((0, length, 1) for length in node.input_shapes[0])
    return (cut(build, pulled, ranges),)


def scale(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return (build.add("scale", g, weights=(weights[0],)),)


def same(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return (g,) * len(node.inputs)


def subtract(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return g, build.add("scale", g, weights=(np.asarray(-1.0, np.float32),))


def reshape(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return (reshaped(build, g, node.input_shapes[0]),)


def transpose(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    perm = node["perm"]
    return (build.add("transpose", g, perm=tuple(sorted(range(len(perm)), key=perm.__getitem__))),)


def expand(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    pairs = enumerate(zip(node.input_shapes[0], node.shape, strict=True))
    axes = tuple(axis for axis, (old, new) in pairs if old != new)
    return (build.add("sum", g, axes=axes),)


def total(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return (build.add("expand", g, shape=node.input_shapes[0]),)


def concat(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    parts, low = [], 0
    for shape in node.input_shapes:
        axis = node["axis"]
        ranges = [(0, length, 1) for length in shape]
        ranges[axis] = (low, low + shape[axis], 1)
        low += shape[axis]
        parts.append(cut(build, g, tuple(ranges)))
    return tuple(parts)


def sliced(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    """Return the coefficients in their old places, one axis after the other."""
    for axis, (length, (low, high, step)) in enumerate(
        zip(node.input_shapes[0], node["ranges"], strict=True)
    ):
        index = range(length)[low:high:step]
        if len(index) < length:
            g = spread(build, g, axis, tuple(index), length)
    return (g,)


def gather(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    axis = node["axis"]
    return (spread(build, g, axis, tuple(node["index"]), node.input_shapes[0][axis]),)


def pad(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    pairs = zip(node["padding"], node.input_shapes[0], strict=True)
    return (cut(build, g, tuple((before, before + length, 1) for (before, _), length in pairs)),)


def spread(build: Add, g: Node, axis: int, index: tuple[int, ...], length: int) -> Node:
    """Add up coefficients at the places `index` of an axis of `length`: a product with a matrix.

    Raises UnsupportedError where the matrix is too large.
    """
    if length * len(index) > MOST:
        raise UnsupportedError(
            f"a selection of {len(index)} of {length} values is too large for a Jacobian"
        )
    matrix = np.zeros((length, len(index)), np.float32)
    matrix[list(index), range(len(index))] = 1
    perm = list(range(len(g.shape)))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    last = axis == len(perm) - 1
    moved = g if last else build.add("transpose", g, perm=tuple(perm))
    found = build.add("linear", moved, weights=(matrix,))
    return found if last else build.add("transpose", found, perm=tuple(perm))


def nothing(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    return ()


TRANSPOSES: dict[str, Transpose] = {
    "linear": linear, "conv": conv, "conv_transpose": conv_transpose, "scale": scale,
    "shift": same, "add": same, "subtract": subtract, "reshape": reshape, "transpose": transpose,
    "expand": expand, "sum": total, "concat": concat, "constant": nothing, "slice": sliced,
    "gather": gather, "pad": pad, "limited": same,
}  # fmt: skip
"""The transpose of each affine operator that has one as nodes."""


def transposed(build: Add, node: Node, weights: Arrays, g: Node) -> tuple[Node, ...]:
    """Add the transpose of an affine node to a graph; raises UnsupportedError where it has none."""
    if node.op not in TRANSPOSES:
        raise UnsupportedError(
            f"operator '{node.op}' (node '{node.name}') has no Jacobian here; supported: "
            f"{', '.join(sorted(TRANSPOSES))}"
        )
    return TRANSPOSES[node.op](build, node, weights, g)


def product(build: Add, node: Node, g: Node, slopes: Node) -> Node:
    """Return `g·slopes`, where g has the shape of a nonlinear node, and slopes that of its input.

    A node that reduces an axis passes g on to all elements along it.
    """
    if g.shape != slopes.shape:
        shape = list(slopes.shape)
        shape[node["axis"]] = 1
        g = build.add("expand", reshaped(build, g, tuple(shape)), shape=slopes.shape)
    return build.add("multiply", g, slopes)


def plus(build: Add, x: Node, y: Node) -> Node:
    """Return `x + y`."""
    return build.add("add", x, y)


def absolute_sum(build: Add, x: Node) -> Node:
    """Return `Σ|xᵢ|` of a flat value, `[1]`."""
    return build.add("sum", build.add("abs", x), axes=(0,))


def cut(build: Add, x: Node, ranges: tuple[tuple[int, int, int], ...]) -> Node:
    """Return the part of x from a start to an end, in steps, along every axis."""
    whole = all(
        (low, high) == (0, length) for (low, high, _), length in zip(ranges, x.shape, strict=True)
    )
    return x if whole else build.add("slice", x, ranges=ranges)


def reshaped(build: Add, x: Node, shape: Shape) -> Node:
    """Return x with another shape; x itself if it has that shape."""
    return x if x.shape == shape else build.add("reshape", x, shape=shape)
