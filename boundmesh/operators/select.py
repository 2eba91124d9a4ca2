"""The operators slice, concat and pad, which drop, join or add neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.operators.common_rules import Weights, monotone, other_axis, same_shape
from boundmesh.operators.inner_products import inner
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths
from boundmesh.operators.window_moves import (
    pull_concat_windows,
    pull_pad_windows,
    pull_slice_windows,
)


def ranges(node: Node, leading: int) -> tuple[slice, ...]:
    """Return the slices of all dims: `leading` dims are kept whole, then each axis has its own."""
    return (slice(None),) * leading + tuple(slice(*bounds) for bounds in node["ranges"])


def slice_values(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return a slice of x. Each axis has a start, a stop (excluded) and a step > 0."""
    return x[ranges(node, 1)]


def pull_slice(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows back: coefficients return to their old places, and are zero elsewhere."""
    whole = rows.new_zeros(*rows.shape[:2], *node.input_shapes[0])
    whole[ranges(node, 2)] = rows
    return Pulled((whole,))


def concat(node: Node, weights: Weights, *values: Tensor) -> Tensor:
    """Return the values joined along `axis`. A constant, with D = 1, is repeated per domain."""
    domains = max(value.shape[0] for value in values)
    values = tuple(value.expand(domains, *value.shape[1:]) for value in values)
    return torch.cat(values, node["axis"] + 1)


def pull_concat(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    axis = node["axis"]
    return Pulled(rows.split([shape[axis] for shape in node.input_shapes], axis + 2))


def pad(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return x with `value` added before and after each axis."""
    widths = [width for pair in reversed(node["padding"]) for width in pair]
    return functional.pad(x, widths, value=node["value"])


def pull_pad(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows back: coefficients of the padding are removed, and times `value` form the bias."""
    shape = node.input_shapes[0]
    coefficients = rows
    for dim, ((before, _), length) in enumerate(zip(node["padding"], shape, strict=True), start=2):
        coefficients = coefficients.narrow(dim, before, length)
    if node["value"] == 0:
        return Pulled((coefficients,))
    return Pulled((coefficients,), inner(rows, pad(node, (), rows.new_zeros(1, 1, *shape))))


def pad_lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings.

    The value is rounded if a narrow type cannot hold it. If it is not zero, the bias is a sum.
    """
    if node["value"] == 0:
        return Lengths()
    value = torch.tensor(node["value"], dtype=torch.float64)
    held = all(bool(value.to(kind).double() == value) for kind in (torch.float16, torch.bfloat16))
    return Lengths(0 if held else 1, 1, node.size)


def slice_partition(node: Node, cut: Partition) -> Partition | None:
    whole = (0, node.input_shapes[0][cut.axis], 1)
    return cut if tuple(node["ranges"][cut.axis]) == whole else None


def ranges_of_piece(node: Node, axis: int, length: int) -> Mapping[str, Any]:
    """Return the slices of a rank's piece, which keep the axis that is cut whole."""
    ranges = list(node["ranges"])
    ranges[axis] = (0, length, 1)
    return {"ranges": tuple(ranges)}


def pad_partition(node: Node, cut: Partition) -> Partition | None:
    return cut if tuple(node["padding"][cut.axis]) == (0, 0) else None


register(
    Operator(
        "slice",
        slice_values,
        monotone(slice_values),
        pull=pull_slice,
        pull_windows=pull_slice_windows,
        rising=True,
        keeps_box=True,
        partition=slice_partition,
        piece_attributes=ranges_of_piece,
        is_identity=same_shape,
    )
)


def concat_node(name: str, parts: Sequence[Node]) -> Node:
    """Return a node that joins the flat nodes `parts`."""
    sizes = tuple(part.shape for part in parts)
    operands = tuple(part.name for part in parts)
    return Node(name, CONCAT, operands, (sum(size for (size,) in sizes),), sizes, {"axis": 0})


CONCAT = "concat"
register(
    Operator(
        CONCAT,
        concat,
        monotone(concat),
        pull=pull_concat,
        pull_windows=pull_concat_windows,
        rising=True,
        partition=other_axis,
        is_identity=same_shape,
    )
)
register(
    Operator(
        "pad",
        pad,
        monotone(pad),
        pull=pull_pad,
        pull_windows=pull_pad_windows,
        lengths=pad_lengths,
        rising=True,
        keeps_box=True,
        partition=pad_partition,
        is_identity=same_shape,
    )
)
