"""Relaxations of nonlinear nodes: linear functions ("lines") that bound a node's output.

A stable neuron has the same lines for all rows. In an elementwise node only unstable neurons have
slopes α, bounds that differ between domains, and multipliers β. Their lines are computed
separately and replace those that all rows share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.relaxation.cuts import Taken
from boundmesh.bounds.sweep.largest_row import meets_at_zero, one_by_one
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels import fused_window_sums, fused_windows, pieces, sloped_windows
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import Collected, added
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Pulled, Relaxation, pull_lines
from boundmesh.operators.node import Node
from boundmesh.operators.window_lines import SparseLines, WindowRelaxation, pull_window_lines
from boundmesh.operators.windows import PulledWindows, Windows


@dataclass(frozen=True)
class Overlay:
    """Lines of the unstable neurons of an elementwise node.

    index        `[U]`, flat indices of the neurons
    lines        their lines, with slopes `[D, S or 1, U]`
    multipliers  `[D, S, U]`, β·sign of split neurons (None: no splits)
    points       `[U]`, where the neurons are split (None: at zero)
    share        the share of Σ |β·sign·point| that is subtracted from the bias for rounding

    In a domain with split neurons (z − point)·sign ≥ 0 holds. The coefficient of the
    pre-activation z may therefore be lowered by β·sign, and the bias raised by β·sign·point
    (β-CROWN, arXiv 2103.06624).
    """

    index: Tensor
    lines: Relaxation
    multipliers: Tensor | None = None
    points: Tensor | None = None
    share: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """The relaxation of one node for the rows of a tile.

    shared   the lines that all rows share, zero at the neurons of `overlay` (None: the overlay has
             all neurons)
    overlay  the lines of the unstable neurons (None: `shared` has the lines of all neurons)
    sparse   the same lines in a form that is faster for large windows (None: there is none)
    taken    what cuts of the node's inputs change (None: nothing)
    """

    shared: Relaxation | None
    overlay: Overlay | None = None
    sparse: SparseLines | None = None
    taken: Taken | None = None


def boxes_of(node: Node, boxes: Mapping[str, Interval]) -> tuple[Interval, ...]:
    """Return the bounds of a node's inputs, in their order."""
    return tuple(boxes[name] for name in node.inputs)


def neurons_at(node: Node, index: Tensor) -> Node:
    """Return an elementwise node reduced to the flat neurons `index`, for rules of relaxation."""
    if not any(isinstance(value, np.ndarray) for value in node.attributes.values()):
        return node
    places = index.cpu().numpy()
    return replace(node, attributes=node.picked(lambda each: each.ravel()[places]))


def at(box: Interval, index: Tensor) -> Interval:
    """Return the interval `[D, U]` of the flat neurons `index` `[U]`."""
    return Interval(
        box.lower.flatten(1).index_select(1, index), box.upper.flatten(1).index_select(1, index)
    )


def in_one_pass(node: Node, like: Tensor) -> bool:
    """Return true if `Pieces` can relax the node, for rows of the dtype and device of `like`."""
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
    own = operator.relax(neurons_at(node, index), (at(inputs[0], index),), alpha)
    assert isinstance(shared, Lines) and isinstance(own, Lines)
    return SparseLines(shared.lower_slopes[0], index, own)


def relax_rows(
    drawn: Drawn | Pieces, rows: Tensor | Windows, collected: Collected, node: Node
) -> tuple[Pulled | PulledWindows, Collected]:
    """Pull rows back through a relaxation; return what they have collected then.

    Windows stay windows at an elementwise node, and where the relaxation is a `WindowRelaxation`.
    Elsewhere they become dense. An overlay needs an operator that `meets_at_zero`.
    """
    if isinstance(rows, Windows):
        if isinstance(drawn, Pieces) and _by_kernel(drawn, rows):
            return _relax_by_kernel(drawn, rows, collected)
        collected = rows.collect(collected)
        found: Pulled | PulledWindows = relax_windows(drawn, rows, node, collected.bias)
    else:
        found = pull_drawn(drawn, rows, node, collected.bias)
    return found, Collected(found.bias, collected.error)


def _by_kernel(drawn: Pieces, rows: Windows) -> bool:
    if drawn.alpha is None:
        return fused_windows.applies(rows.coefficients)
    return sloped_windows.applies(drawn, rows.coefficients)


def _relax_by_kernel(
    drawn: Pieces, rows: Windows, before: Collected
) -> tuple[PulledWindows, Collected]:
    given, reach = rows.coefficients, rows.grid.reach
    if drawn.alpha is None:
        found, after = fused_window_sums.pull_pieces(given, drawn.lines_last, reach, before)
    else:
        found, after = sloped_windows.pull(drawn, given, reach, before)
    return PulledWindows((rows.with_coefficients(found),)), after


def relax_windows(
    drawn: Drawn | Pieces, rows: Windows, node: Node, onto: Tensor | None
) -> Pulled | PulledWindows:
    """Pull rows in windows back through a relaxation; their bias is added to `onto`."""
    if isinstance(drawn, Drawn) and isinstance(drawn.shared, WindowRelaxation):
        passed = drawn.shared.pull_windows(rows)
        if passed is not None:
            return PulledWindows(passed.windows, added(onto, passed.bias))
    if not isinstance(drawn, Drawn) or not one_by_one(node):
        return pull_drawn(drawn, rows.dense(), node, onto)
    assert isinstance(drawn.shared, Lines)
    sparse = drawn.sparse
    if drawn.overlay is not None:
        assert meets_at_zero(node) and isinstance(drawn.overlay.lines, Lines)
        slopes = drawn.shared.lower_slopes[0]
        found = SparseLines(slopes, drawn.overlay.index, drawn.overlay.lines).pull(rows)
    elif sparse is not None and sparse.pays(rows):
        found = sparse.pull(rows)
    else:
        found = pull_window_lines(drawn.shared, rows)
    return PulledWindows(found.windows, added(onto, found.bias))


def pull_drawn(
    drawn: Drawn | Pieces, rows: Tensor, node: Node, onto: Tensor | None = None
) -> Pulled:
    """Pull rows `[D, S, *shape]` back through a relaxation; their bias is added to `onto`."""
    if isinstance(drawn, Pieces):
        coefficients, bias = drawn.pull(rows, onto)
        return Pulled((coefficients,), bias)
    found = _pull_drawn(drawn, rows, node).onto(onto)
    return found if drawn.taken is None else drawn.taken.off(found)


def _pull_drawn(drawn: Drawn, rows: Tensor, node: Node) -> Pulled:
    if drawn.overlay is None:
        assert drawn.shared is not None
        return pull_lines(drawn.shared, rows)
    overlay = drawn.overlay
    gained = None
    if overlay.multipliers is not None and overlay.points is not None:
        terms = overlay.multipliers * overlay.points
        gained = terms.sum(2) - overlay.share * terms.detach().abs().sum(2)
    if drawn.shared is None:
        inner = pull_lines(overlay.lines, rows.flatten(2))
        (coefficients,) = inner.coefficients
        bias = inner.bias
        if overlay.multipliers is not None:
            coefficients = coefficients - overlay.multipliers
    else:
        outer = pull_lines(drawn.shared, rows)
        inner = pull_lines(overlay.lines, rows.flatten(2).index_select(2, overlay.index))
        ((own,), (whole,)) = inner.coefficients, outer.coefficients
        if overlay.multipliers is not None:
            own = own - overlay.multipliers
        whole = whole.flatten(2)
        if len(own) > len(whole):
            whole = whole.expand(len(own), -1, -1)
        coefficients = whole.index_copy(2, overlay.index, own)
        bias = added(outer.bias, inner.bias)
    whole = coefficients.reshape(*coefficients.shape[:2], *node.input_shapes[0])
    return Pulled((whole,), bias if gained is None else added(bias, gained))


Localise = Callable[[Mapping[str, Interval]], Mapping[str, Interval]]
"""A function that selects the bounds of this rank's neurons."""


class FixedLines:
    """CROWN's relaxation of every node, computed once for all tiles.

    It is computed when a sweep first passes the node, because the bounds of the node's inputs are
    final then. Rows in windows take `Pieces` only where there are kernels for them. `localise`
    selects this rank's part of the bounds.
    """

    def __init__(
        self, boxes: Mapping[str, Interval], localise: Localise = lambda boxes: boxes
    ) -> None:
        self._boxes, self._localise = boxes, localise
        self._drawn: dict[tuple[str, bool], Drawn | Pieces] = {}

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        key = node.name, tile.windowed
        if key not in self._drawn:
            mine = self._localise({name: self._boxes[name] for name in node.inputs})
            boxes = boxes_of(node, mine)
            first = boxes[0].lower
            if in_one_pass(node, first) and (not tile.windowed or fused_windows.applies(first)):
                self._drawn[key] = pieces_of(node, boxes[0])
            elif tile.windowed:
                self._drawn[key] = Drawn(crown_lines(node, boxes), sparse=sparse_lines(node, boxes))
            else:
                self._drawn[key] = Drawn(crown_lines(node, boxes))
        return self._drawn[key]


class SharedLines:
    """The lines of every node that all rows share, computed once.

    Bounds only get sharper, so a stable neuron stays stable and keeps its line. The lines of the
    flat neurons `index[node]` are zero.
    """

    def __init__(self, boxes: Mapping[str, Interval], index: Mapping[str, Tensor]) -> None:
        self._boxes, self._index = boxes, index
        self._drawn: dict[str, Relaxation] = {}

    def __call__(self, node: Node) -> Relaxation:
        if node.name not in self._drawn:
            inputs = tuple(
                Interval(box.lower.detach(), box.upper.detach())
                for box in boxes_of(node, self._boxes)
            )
            with torch.no_grad():
                nothing = torch.empty(0, dtype=torch.long, device=inputs[0].lower.device)
                index = self._index.get(node.name, nothing)
                self._drawn[node.name] = shared_lines(node, inputs, index)
        return self._drawn[node.name]
