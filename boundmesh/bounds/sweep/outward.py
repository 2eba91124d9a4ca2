"""Moves intervals outward by their rounding, and computes the E that rows are charged with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bounds.sweep.charge import INTERVAL_ROUNDINGS, Charge
from boundmesh.bounds.sweep.node_weights import NodeWeights, node_of_part, output_axis, product_of
from boundmesh.bounds.sweep.program import Program
from boundmesh.operators import RULES
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import INFLATION, Lengths, Rounded, Rounding, gamma


def outward(
    node_weights: NodeWeights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Interval, Tensor | None]:
    """Compute the interval of a node, widened by its rounding, and the E of rows there.

    E has the shape `[D or 1, *shape]`; it is None if rows have no error at the node.
    """
    node = node_weights.node
    if product_of(node) is None:
        return _outward_of_part(node, node_weights.weights, boxes, charge)
    results = []
    for part in node_weights.parts:
        of_part, bias = node_of_part(node_weights, part.low, part.high)
        part_charge = charge.part(part.low, part.high, node.shape[output_axis(node)])
        results.append(_outward_of_part(of_part, (part.weight, *bias), boxes, part_charge))
    if len(results) == 1:
        return results[0]
    dim = output_axis(node) + 1
    box = Interval(
        torch.cat([part.lower for part, _ in results], dim),
        torch.cat([part.upper for part, _ in results], dim),
    )
    errors = [error for _, error in results if error is not None]
    return box, torch.cat(errors, dim) if errors else None


def _outward_of_part(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Interval, Tensor | None]:
    box, terms = _enclosed(node, weights, boxes, charge)
    if any(charge.of_interval(term.forward) for term in terms):
        below, above = _widths(node, weights, boxes, charge, terms, box)
        box = Interval(box.lower - below, box.upper + above)
        box = _above_least(node, weights, boxes, charge, box)
    error = None
    for term in terms:
        share = charge.of_rows(term)
        if share:
            node_error = (share * INFLATION) * term.size
            if term.forward and charge.rounding.lost:
                # Underflow changes the network's value, which coefficients multiply.
                node_error = (
                    node_error + 4 * (term.forward + charge.depth + 1) * charge.rounding.lost
                )
            error = node_error if error is None else error + node_error
    return box, error


def _enclosed(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Interval, tuple[Rounded, ...]]:
    """Compute the interval of a node and its sources of rounding, which may share their work."""
    operator = RULES[node.op]
    if operator.sized_interval is None or any(size is not None for size in charge.sizes):
        return operator.interval(node, weights, *boxes), sources(node, weights, boxes, charge)
    box, size = operator.sized_interval(node, weights, *boxes)
    term = Rounded(size, charge.lengths.forward, charge.pull)
    return box, _overflowing((term,), charge)


def _widths(
    node: Node,
    weights: Weights,
    boxes: Sequence[Interval],
    charge: Charge,
    terms: Sequence[Rounded],
    box: Interval,
) -> tuple[Tensor, Tensor]:
    """Compute how far the lower and the upper ends of `box` are moved outward."""
    if RULES[node.op].relative and all(size is None for size in charge.sizes):
        ends = box.lower.abs(), box.upper.abs()
        below, above = ([_of_end(term, end) for term in terms] for end in ends)
        return _width(below, charge), _width(above, charge)
    if not RULES[node.op].rising:
        both = _width(terms, charge)
        return both, both
    low, high = (
        sources(node, weights, [Interval(end, end) for end in ends], charge)
        for ends in ([box.lower for box in boxes], [box.upper for box in boxes])
    )
    return _width(low, charge), _width(high, charge)


def _of_end(term: Rounded, end: Tensor) -> Rounded:
    """Return the source of rounding relative to an end of the interval; it may still overflow."""
    return replace(term, size=torch.where(term.size == torch.inf, term.size, end))


def _above_least(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge, box: Interval
) -> Interval:
    """Cut off what lies below the least value that the operator can have.

    An affine operator whose terms all are zero or more gives zero or more, however it rounds. The
    signs of the terms decide that: an end below zero counts as −1, and one above it as 0. Products
    with a negative weight are not looked at, as they rarely have such terms.
    """
    operator = RULES[node.op]
    least = operator.least(node) if operator.least is not None else None
    if least is not None:
        return Interval(box.lower.clamp(min=least), box.upper)
    relative = all(size is None for size in charge.sizes)
    product = operator.product is not None
    if not operator.affine or not boxes or not relative or (product and not charge.rising):
        return box
    signs = [Interval(b.lower.sign().clamp(max=0), b.upper.sign().clamp(min=0)) for b in boxes]
    factors = len(weights) if operator.constant == "factor" else 1 if product else 0
    signs_of_weights = [
        weight.sign() if index < factors else weight.sign().clamp(max=0)
        for index, weight in enumerate(weights)
    ]
    lowest = operator.interval(node, signs_of_weights, *signs).lower
    return Interval(torch.where(lowest >= 0, box.lower.clamp(min=0), box.lower), box.upper)


def _width(terms: Sequence[Rounded], charge: Charge) -> Tensor:
    rounding, width = charge.rounding, None
    lost = 4 * (charge.lengths.forward + 1) * (rounding.tiny + rounding.lost)
    for term in terms:
        share = charge.of_interval(term.forward)
        if share:
            term_width = (share * INFLATION) * term.size + lost
            width = term_width if width is None else width + term_width
    assert width is not None
    return width


def sources(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Rounded, ...]:
    """Return the sources of rounding of a node on boxes; a size is infinite if it may overflow.

    The size of an affine node is the upper end of its interval on `|x| ≤ reach`, computed with the
    absolute values of its biases.
    """
    return _overflowing(_sources_without_overflow(node, weights, boxes, charge), charge)


def _overflowing(terms: tuple[Rounded, ...], charge: Charge) -> tuple[Rounded, ...]:
    """Return sources of rounding whose sizes are infinite where the network may overflow."""
    largest = charge.rounding.largest
    if largest == math.inf:
        return terms
    return tuple(
        replace(term, size=torch.where(term.size * INFLATION > largest, torch.inf, term.size))
        if term.forward
        else term
        for term in terms
    )


def _sources_without_overflow(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Rounded, ...]:
    operator = RULES[node.op]
    if operator.rounded is not None:
        return operator.rounded(node, tuple(boxes))
    if not operator.affine:
        lower = boxes[0].lower
        inf = torch.full_like(lower.reshape(len(lower), -1)[:, :1], torch.inf)
        shape = (len(inf), *[1] * len(node.shape))
        return (Rounded(inf.reshape(shape).expand(len(inf), *node.shape), 1, 1),)
    reach = [torch.maximum(box.lower.abs(), box.upper.abs()) for box in boxes]
    around = [Interval(-largest, largest) for largest in reach]
    product = product_of(node) is not None
    sizes = [
        size if size is not None else weight if product and index == 0 else weight.abs()
        for index, (weight, size) in enumerate(
            zip(weights, charge.sizes or [None] * len(weights), strict=True)
        )
    ]
    size = operator.interval(node, sizes, *around).upper.abs()
    return (Rounded(size, charge.lengths.forward, charge.pull),)


def of_input(program: Program, box: Interval, rounding: Rounding) -> tuple[Tensor, Tensor | None]:
    """Compute E and the underflow at the input, where a sweep ends with `⟨A⁺, l⟩ + ⟨A⁻, u⟩`."""
    node = program.graph[program.graph.input]
    joins = len(program.graph.consumers[node.name]) + 2
    charge = Charge(rounding, Lengths(0, 2, node.size), joins, program.additions, 0)
    reach = torch.maximum(box.lower.abs(), box.upper.abs())
    forward = 1 if rounding.narrows else 0
    error = charge.of_rows(Rounded(reach, forward, 2, node.size)) * INFLATION * reach
    if forward:
        error = error + 4 * rounding.lost
    return error, lost_to_underflow([box], charge)


def as_read(box: Interval, rounding: Rounding) -> Interval:
    """Return a box that contains the inputs after they are rounded to the network's type."""
    if not rounding.narrows:
        return box
    unit, lost = gamma(1 + INTERVAL_ROUNDINGS, rounding.network), 4 * rounding.lost
    lower = box.lower - (unit * box.lower.abs() + lost)
    upper = box.upper + (unit * box.upper.abs() + lost)
    return Interval(
        torch.where(lower < -rounding.largest, -torch.inf, lower),
        torch.where(upper > rounding.largest, torch.inf, upper),
    )


def lost_to_underflow(boxes: Sequence[Interval], charge: Charge) -> Tensor | None:
    """Bound the error `[D]` of a row from underflow at a node.

    Each of a fixed number of operations per input can underflow once, and the loss is relative to
    the largest absolute value of the inputs, which stands for each of them.
    """
    rounding, total = charge.rounding, None
    operations = 8 * (charge.pull + charge.joins + charge.additions + 8)
    per_operation = operations * (rounding.tiny + rounding.lost)
    for box in boxes:
        lower, upper = (end.reshape(len(end), -1) for end in (box.lower, box.upper))
        largest = torch.maximum(-lower.amin(1), upper.amax(1))
        for_all_inputs = per_operation * lower.shape[1]
        box_loss = largest * (2 * for_all_inputs) + for_all_inputs
        total = box_loss if total is None else total + box_loss
    return total
