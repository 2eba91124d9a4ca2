"""How a cut of the input goes through an operator that works within the pieces: the cut of the
output, or None where there is none."""

from __future__ import annotations

from math import prod

from boundmesh.graph.graph import Node
from boundmesh.mesh.cut import Cut


def _reshape(node: Node, cut: Cut) -> Cut | None:
    (shape,) = node.input_shapes
    before = cut.axis + 1
    if node.shape[:before] == shape[:before]:
        return cut
    # Runs of neurons in row-major order, if nothing longer than 1 comes before the axis.
    axis = next((axis for axis, length in enumerate(node.shape) if length > 1), 0)
    run, step = prod(shape[before:]), prod(node.shape[axis + 1 :])
    if prod(shape[: cut.axis]) > 1 or any(end * run % step for end in cut.ends):
        return None
    return Cut(axis, tuple(end * run // step for end in cut.ends))


def _transpose(node: Node, cut: Cut) -> Cut:
    return Cut(list(node["perm"]).index(cut.axis), cut.ends)


def _sum(node: Node, cut: Cut) -> Cut | None:
    return None if cut.axis in node["axes"] else cut


def _max(node: Node, cut: Cut) -> Cut | None:
    if cut.axis == node["axis"]:
        return None
    return Cut(cut.axis - (node["axis"] < cut.axis), cut.ends)


def _other_axis(node: Node, cut: Cut) -> Cut | None:
    return None if cut.axis == node["axis"] else cut


def _slice(node: Node, cut: Cut) -> Cut | None:
    whole = (0, node.input_shapes[0][cut.axis], 1)
    return cut if tuple(node["ranges"][cut.axis]) == whole else None


def _pad(node: Node, cut: Cut) -> Cut | None:
    return cut if tuple(node["padding"][cut.axis]) == (0, 0) else None


def _expand(node: Node, cut: Cut) -> Cut | None:
    return cut if node.shape[cut.axis] == node.input_shapes[0][cut.axis] else None


def _grouped(node: Node, cut: Cut) -> Cut | None:
    """A convolution whose groups lie each on one rank, and no rank without a group."""
    wide, out = node.input_shapes[0][1] // node["groups"], node.shape[1] // node["groups"]
    aligned = cut.axis == 1 and not any(end % wide for end in cut.ends)
    if not aligned or len(set(cut.ends)) < len(cut.ends):
        return None
    return Cut(1, tuple(end // wide * out for end in cut.ends))


THROUGH = {
    "reshape": _reshape,
    "transpose": _transpose,
    "sum": _sum,
    "max": _max,
    "gather": _other_axis,
    "concat": _other_axis,
    "slice": _slice,
    "pad": _pad,
    "expand": _expand,
    "conv": _grouped,
    "conv_transpose": _grouped,
}
