"""The operators softplus and elu, which are convex everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.errors import UnsupportedError
from boundmesh.operators.common_rules import Weights, elementwise, monotone
from boundmesh.operators.curve import (
    Curve,
    bent_lines,
    middle,
    reach_of,
    rounded_curve,
    rows_dim,
    steady,
    unstable,
)
from boundmesh.operators.gated import softplus
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded

SOFTPLUS = Curve(softplus, torch.sigmoid)


def relax_softplus(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the tangent at `l + α(u − l)` as the line below, and the chord as the line above."""
    box = rows_dim(boxes[0])
    values = Interval(softplus(box.lower), softplus(box.upper))
    return steady(bent_lines(SOFTPLUS, box, alpha, convex=True), values)


def rounded_softplus(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    A network that adds 1 to the exponential errs relative to 1.
    """
    (box,) = boxes
    slope = torch.ones_like(box.lower)
    return rounded_curve(node, softplus(box.upper).clamp(min=1), slope, box)


def elu_of(node: Node) -> Curve:
    """Return `x` above zero and `a·(exp(x) − 1)` below, for the attribute a in [0, 1].

    Raises UnsupportedError for another a, where the function is not convex.
    """
    a = float(node["alpha"])
    if not 0 <= a <= 1:
        raise UnsupportedError(
            f"operator '{node.op}' (node '{node.name}') has alpha {a}; expected one in [0, 1]"
        )

    def value(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0)))

    def slope(x: Tensor) -> Tensor:
        return torch.where(x > 0, 1, a * torch.exp(x.clamp(max=0)))

    return Curve(value, slope)


def elu(node: Node, weights: Weights, x: Tensor) -> Tensor:
    return elu_of(node).value(x)


def relax_elu(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return the tangent at `l + α(u − l)` as the line below, and the chord as the line above."""
    box, curve = rows_dim(boxes[0]), elu_of(node)
    values = Interval(curve.value(box.lower), curve.value(box.upper))
    return steady(bent_lines(curve, box, alpha, convex=True), values)


def rounded_elu(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    A network may compute the exponential and subtract 1, so values err relative to 1.
    """
    (box,) = boxes
    size = reach_of(box).clamp(min=1)
    return rounded_curve(node, size, torch.ones_like(size), box)


def never_negative(node: Node) -> float:
    return 0.0


register(
    Operator(
        "softplus",
        elementwise(softplus),
        monotone(elementwise(softplus)),
        relax=relax_softplus,
        initial=middle,
        unstable=unstable,
        rounded=rounded_softplus,
        rising=True,
        least=never_negative,
    )
)
register(
    Operator(
        "elu",
        elu,
        monotone(elu),
        relax=relax_elu,
        initial=middle,
        unstable=unstable,
        rounded=rounded_elu,
        rising=True,
    )
)
