"""Lines of the nonlinear nodes as a sweep draws them.

A decided neuron has one line for all rows. Where a node works on its neurons one by one, the
slopes α, the bounds of a domain and the multipliers β concern its undecided neurons only: these
are drawn on their own and laid over the lines that all rows share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels import pieces
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import added
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Interval, Lines, Pulled, Relaxation, pull_lines


@dataclass(frozen=True)
class Overlay:
    """Lines of the flat neurons `index` `[U]` of a one-by-one node, slopes `[D, S or 1, U]`.

    `multipliers` `[D, S, U]` are β·sign of split neurons: z·sign ≥ 0 holds in the domain, so the
    coefficient of the pre-activation z may be lowered by β·sign (β-CROWN, arXiv 2103.06624). Where
    neurons are split at `points` `[U]`, (z − point)·sign ≥ 0, and the bias gains β·sign·point,
    less `share` of its absolute values for rounding.
    """

    index: Tensor
    lines: Relaxation
    multipliers: Tensor | None = None
    points: Tensor | None = None
    share: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """Lines for the rows of a tile: `shared` by all rows, zero at the neurons of `overlay`.

    Without an overlay `shared` is the whole; with an overlay of all neurons there is no `shared`.
    """

    shared: Relaxation | None
    overlay: Overlay | None = None


def one_by_one(node: Node) -> bool:
    """Whether each output neuron depends on the input neuron of its place alone."""
    return len(node.inputs) == 1 and node.shape == node.input_shapes[0]


def boxes_of(node: Node, boxes: Mapping[str, Interval]) -> tuple[Interval, ...]:
    """The bounds of a node's inputs, in their order."""
    return tuple(boxes[name] for name in node.inputs)


def neurons_at(node: Node, index: Tensor) -> Node:
    """A one-by-one node as if it had the flat neurons `index` alone, for the rules of its lines."""
    if not any(isinstance(value, np.ndarray) for value in node.attributes.values()):
        return node
    places = index.cpu().numpy()
    return replace(node, attributes=node.picked(lambda each: each.ravel()[places]))


def at(box: Interval, index: Tensor) -> Interval:
    """The interval of the flat neurons `index`, `[D, U]`."""
    return Interval(
        box.lower.flatten(1).index_select(1, index), box.upper.flatten(1).index_select(1, index)
    )


def in_one_pass(node: Node, like: Tensor) -> bool:
    """Whether `Pieces` can be the lines of a node whose rows are such tensors."""
    return RULES[node.op].slope_below is not None and one_by_one(node) and pieces.applies(like)


def pieces_of(node: Node, box: Interval, **given: Any) -> Pieces:
    """CROWN's lines of a node of two pieces, or those that α and what else is `given` make."""
    slope = RULES[node.op].slope_below
    assert slope is not None
    return Pieces(slope(node), box.lower, box.upper, **given)


def crown_lines(node: Node, inputs: tuple[Interval, ...]) -> Relaxation:
    """The lines of CROWN: one per neuron for all rows (arXiv 1811.00866)."""
    operator = RULES[node.op]
    assert operator.relax is not None and operator.initial is not None
    return operator.relax(node, inputs, operator.initial(node, inputs).unsqueeze(1))


def shared_lines(node: Node, inputs: tuple[Interval, ...], index: Tensor) -> Relaxation:
    """The lines of CROWN with those of the flat neurons `index` blanked out; all of them where the
    node does not work on its neurons one by one."""
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
        # Ranks that have neurons of their own must agree: pieces that meet at zero have no
        # intercept where they are decided, but others may have one on some ranks alone.
        meets_at_zero = RULES[node.op].slope_below is not None
        return None if meets_at_zero and not bool(left.any()) else left

    return Lines(
        tuple(map(blank, lines.lower_slopes)),
        tuple(map(blank, lines.upper_slopes)),
        blank_intercept(lines.lower_intercept),
        blank_intercept(lines.upper_intercept),
        lines.reduced,
    )


def pull_drawn(
    drawn: Drawn | Pieces, rows: Tensor, node: Node, onto: Tensor | None = None
) -> Pulled:
    """Pull rows `[D, S, *shape]` back through drawn lines; their bias is added to `onto`."""
    if isinstance(drawn, Pieces):
        coefficients, bias = drawn.pull(rows, onto)
        return Pulled((coefficients,), bias)
    return _pull_drawn(drawn, rows, node).onto(onto)


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
"""The part of some bounds that belongs to the neurons drawn here."""


class FixedLines:
    """CROWN's lines of every node, drawn once for all tiles, when a sweep first passes it.

    By then the bounds of what the node reads are known; `localise` takes this rank's part of them.
    """

    def __init__(
        self, boxes: Mapping[str, Interval], localise: Localise = lambda boxes: boxes
    ) -> None:
        self._boxes, self._localise = boxes, localise
        self._drawn: dict[str, Drawn | Pieces] = {}

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        if node.name not in self._drawn:
            mine = self._localise({name: self._boxes[name] for name in node.inputs})
            boxes = boxes_of(node, mine)
            self._drawn[node.name] = (
                pieces_of(node, boxes[0])
                if in_one_pass(node, boxes[0].lower)
                else Drawn(crown_lines(node, boxes))
            )
        return self._drawn[node.name]


class SharedLines:
    """The shared lines of every node, drawn once from bounds that only ever get sharper: a neuron
    that is decided stays so, and keeps its line. The neurons `index` of a node are blanked out."""

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
