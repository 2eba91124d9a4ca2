"""The operators exp, log, sqrt and reciprocal, each convex or concave where it is defined.

If a box reaches outside of where the function is defined, its bounds are NaN, so that nothing can
be proved with them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, elementwise, monotone
from boundmesh.operators.curve import (
    STEEPEST,
    Curve,
    bent_lines,
    inside,
    middle,
    not_too_steep,
    rounded_curve,
    rows_dim,
    steady,
    unstable,
)
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

EXP = Curve(torch.exp, torch.exp)
LOG = Curve(torch.log, torch.reciprocal)
SQRT = Curve(torch.sqrt, lambda x: 0.5 / x.sqrt())
RECIPROCAL = Curve(torch.reciprocal, lambda x: -1 / (x * x))

# The square root has no tangent at zero. A tangent that touches here or further right lies above
# the function everywhere.
NEAR_ZERO = 1e-20


def relax_exp(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the tangent at `l + α(u − l)` as the line below, and the chord as the line above."""
    (box,) = boxes
    values = Interval(box.lower.exp(), box.upper.exp())
    return steady(bent_lines(EXP, rows_dim(box), alpha, convex=True), rows_dim(values))


def relax_log(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the chord as the line below and the tangent at `l + α(u − l)` above, for l > 0."""
    (box,) = boxes
    return bent_lines(LOG, rows_dim(inside(box, box.lower > 0)), alpha, convex=False)


def relax_sqrt(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the chord as the line below and the tangent at `l + α(u − l)` above, for l ≥ 0."""
    (box,) = boxes
    positive = inside(box, box.lower >= 0)
    right = Interval(positive.lower.clamp(min=NEAR_ZERO), positive.upper.clamp(min=NEAR_ZERO))
    lines = bent_lines(SQRT, rows_dim(right), not_too_steep(right, alpha), convex=False)
    assert lines.lower_intercept is not None
    return Lines(
        lines.lower_slopes,
        lines.upper_slopes,
        # The chord begins at NEAR_ZERO. Between zero and there it may lie above the square root,
        # so it is lowered by its value at NEAR_ZERO.
        lines.lower_intercept - NEAR_ZERO**0.5,
        lines.upper_intercept,
    )


def sqrt_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `[√l, √u]` for l ≥ 0, and NaN elsewhere."""
    box = inside(box, box.lower >= 0)
    return Interval(box.lower.sqrt(), box.upper.sqrt())


def log_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `[log l, log u]` for l > 0, and NaN elsewhere."""
    box = inside(box, box.lower > 0)
    return Interval(box.lower.log(), box.upper.log())


def one_sign(box: Interval) -> Interval:
    return inside(box, (box.lower > 0) | (box.upper < 0))


def reciprocal_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `[1/u, 1/l]` for l > 0 or u < 0, and NaN elsewhere."""
    box = one_sign(box)
    return Interval(1 / box.upper, 1 / box.lower)


def relax_reciprocal(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return a tangent and the chord.

    For l > 0 the tangent at `l + α(u − l)` is the line below, and the chord is the line above. For
    u < 0 the lines are those of the box [−u, −l], mirrored by `1/x = −1/(−x)`.
    """
    box = rows_dim(one_sign(boxes[0]))
    negative = box.upper < 0
    low = torch.where(negative, -box.upper, box.lower)
    high = torch.where(negative, -box.lower, box.upper)
    lines = bent_lines(RECIPROCAL, Interval(low, high), alpha, convex=True)
    (tangent,), (chord,) = lines.lower_slopes, lines.upper_slopes
    tangent_at, chord_at = lines.lower_intercept, lines.upper_intercept
    assert tangent_at is not None and chord_at is not None
    lines = Lines(
        (torch.where(negative, chord, tangent),),
        (torch.where(negative, tangent, chord),),
        torch.where(negative, -chord_at, tangent_at),
        torch.where(negative, -tangent_at, chord_at),
    )
    return steady(lines, rows_dim(reciprocal_interval(node, (), boxes[0])))


def rounded_exp(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    (box,) = boxes
    top = box.upper.exp()
    return rounded_curve(node, top, top, box)


def rounded_log(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    box = inside(boxes[0], boxes[0].lower > 0)
    value = torch.maximum(box.lower.log().abs(), box.upper.log().abs())
    return rounded_curve(node, value, 1 / box.lower, box)


def rounded_sqrt(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    No tangent is steeper than the tangent at `u / STEEPEST`, and no chord is steeper than `1/√u`.
    """
    box = inside(boxes[0], boxes[0].lower >= 0)
    top = box.upper.clamp(min=NEAR_ZERO).sqrt()
    return rounded_curve(node, top, STEEPEST**0.5 / top, box)


def rounded_reciprocal(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    box = one_sign(boxes[0])
    value = torch.maximum((1 / box.lower).abs(), (1 / box.upper).abs())
    return rounded_curve(node, value, value * value, box)


def never_negative(node: Node) -> float:
    return 0.0


for name, function, interval, relax, rounded in (
    ("exp", torch.exp, monotone(elementwise(torch.exp)), relax_exp, rounded_exp),
    ("log", torch.log, log_interval, relax_log, rounded_log),
    ("sqrt", torch.sqrt, sqrt_interval, relax_sqrt, rounded_sqrt),
    ("reciprocal", torch.reciprocal, reciprocal_interval, relax_reciprocal, rounded_reciprocal),
):
    register(
        Operator(
            name,
            elementwise(function),
            interval,
            relax=relax,
            initial=middle,
            unstable=unstable,
            rounded=rounded,
            rising=name != "reciprocal",
            relative=True,
            least=never_negative if name in ("exp", "sqrt") else None,
        )
    )
