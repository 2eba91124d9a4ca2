"""Computes CROWN's lines: linear functions that bound the output of a nonlinear node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from boundmesh.bounds.sweep.largest_row import meets_at_zero, one_by_one
from boundmesh.kernels import pieces
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Relaxation
from boundmesh.operators.node import Node
from boundmesh.operators.window_lines import SparseLines


def boxes_of(node: Node, boxes: Mapping[str, Interval]) -> tuple[Interval, ...]:
    """Return the bounds of a node's inputs, in their order."""
    return tuple(boxes[name] for name in node.inputs)


def neurons_at(node: Node, index: Tensor) -> Node:
    """Return an elementwise node reduced to the flat neurons `index`, for rules of relaxation."""
    if not any(isinstance(value, np.ndarray) for value in node.attributes.values()):
        return node
    places = index.cpu().numpy()
    return replace(node, attributes=node.picked(lambda attribute: attribute.ravel()[places]))


def at(box: Interval, index: Tensor) -> Interval:
    """Return the interval `[D, U]` of the flat neurons `index` `[U]`."""
    return Interval(
        box.lower.flatten(1).index_select(1, index), box.upper.flatten(1).index_select(1, index)
    )


def in_one_pass(node: Node, like: Tensor) -> bool:
    """Return True if `Pieces` can relax the node, for rows of the dtype and device of `like`."""
    return RULES[node.op].slope_below is not None and one_by_one(node) and pieces.applies(like)


def pieces_of(node: Node, box: Interval, **given: Any) -> Pieces:
    """Create the relaxation of a node of two linear pieces.

    Without further arguments these are CROWN's lines; `given` are optional fields of `Pieces`, such
    as α and β.
    """
    slope = RULES[node.op].slope_below
    assert slope is not None
    return Pieces(slope(node), box.lower, box.upper, **given)


def crown_lines(node: Node, inputs: tuple[Interval, ...]) -> Relaxation:
    """Compute CROWN's lines, which are the same for all rows (arXiv 1811.00866)."""
    operator = RULES[node.op]
    assert operator.relax is not None and operator.initial is not None
    return operator.relax(node, inputs, operator.initial(node, inputs).unsqueeze(1))


def shared_lines(node: Node, inputs: tuple[Interval, ...], index: Tensor) -> Relaxation:
    """Compute CROWN's lines, with zeros in place of those of the flat neurons `index`.

    If the node is not elementwise, no line is replaced.
    """
    lines = crown_lines(node, inputs)
    if not one_by_one(node):
        return lines
    assert isinstance(lines, Lines)

    def blank(values: Tensor) -> Tensor:
        flat = values.flatten(2)
        return flat.index_fill(2, index, 0).reshape(values.shape)

    def blank_intercept(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        left = blank(values)
        # All ranks must return an intercept, or none must, though each has its own neurons. Pieces
        # that meet at zero have none at stable neurons. Others may have one on some ranks only.
        meets_at_zero = RULES[node.op].slope_below is not None
        return None if meets_at_zero and not bool(left.any()) else left

    return Lines(
        tuple(map(blank, lines.lower_slopes)),
        tuple(map(blank, lines.upper_slopes)),
        blank_intercept(lines.lower_intercept),
        blank_intercept(lines.upper_intercept),
        lines.reduced,
    )


def sparse_lines(node: Node, inputs: tuple[Interval, ...]) -> SparseLines | None:
    """Compute CROWN's lines with those of unstable neurons apart.

    The result is None unless the operator has two pieces that meet at zero: the line of a stable
    neuron is then one of the pieces.
    """
    operator = RULES[node.op]
    if not meets_at_zero(node):
        return None
    assert operator.unstable is not None and operator.initial is not None
    assert operator.relax is not None
    index = operator.unstable(node, inputs).flatten(1).any(0).nonzero().squeeze(1)
    shared = shared_lines(node, inputs, index)
    alpha = operator.initial(node, inputs).flatten(1).index_select(1, index).unsqueeze(1)
    at_neurons = operator.relax(neurons_at(node, index), (at(inputs[0], index),), alpha)
    assert isinstance(shared, Lines) and isinstance(at_neurons, Lines)
    return SparseLines(shared.lower_slopes[0], index, at_neurons)
