"""The operators gelu, gelu_tanh, silu, mish and hard_swish, each a product `x·gate(x)`."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights
from boundmesh.operators.curve import Function, middle, reach_of, rounded_curve, rows_dim, steady
from boundmesh.operators.gated_curve import GatedCurve, gated_curve, range_of
from boundmesh.operators.gated_line import gated_lines
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import FUNCTION, Rounded

ROOT = 1 / math.sqrt(2)


def normal(x: Tensor) -> Tensor:
    """Return the normal distribution Φ, accurate on both tails."""
    return torch.erfc(-x * ROOT) / 2


def gelu(x: Tensor) -> Tensor:
    return x * normal(x)


def slope_of_gelu(x: Tensor) -> Tensor:
    return normal(x) + x * torch.exp(-x * x / 2) * (ROOT / math.sqrt(math.pi))


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def slope_of_silu(x: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate * (1 + x * torch.sigmoid(-x))


def softplus(x: Tensor) -> Tensor:
    """Return `log(1 + exp(x))`, which cannot overflow in this form."""
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


def mish(x: Tensor) -> Tensor:
    return x * torch.tanh(softplus(x))


def slope_of_mish(x: Tensor) -> Tensor:
    gate = torch.tanh(softplus(x))
    return gate + x * (1 - gate * gate) * torch.sigmoid(x)


def hard_swish(x: Tensor) -> Tensor:
    """Return `x·clip(x/6 + 1/2, 0, 1)`."""
    return x * (x / 6 + 0.5).clamp(0, 1)


def slope_of_hard_swish(x: Tensor) -> Tensor:
    """Return the slope; at ±3, where it jumps, that of the parabola between."""
    return torch.where(x < -3, 0, torch.where(x > 3, 1, x / 3 + 0.5))


def tanh_gate(factor: float, cubic: float) -> tuple[Function, Function]:
    """Return `x/2·(1 + tanh(k·(x + c·x³)))` and its slope."""

    def value(x: Tensor) -> Tensor:
        # The sigmoid is accurate where 1 + tanh cancels.
        return x * torch.sigmoid(2 * factor * (x + cubic * x * x * x))

    def slope(x: Tensor) -> Tensor:
        inner = 2 * factor * (x + cubic * x * x * x)
        gate, other = torch.sigmoid(inner), torch.sigmoid(-inner)
        rise = 2 * factor * (1 + 3 * cubic * x * x)
        # Where the product of the gates vanishes, the slope of their argument may overflow.
        return gate + torch.where(gate * other == 0, 0, x * rise * gate * other)

    return value, slope


@lru_cache(maxsize=64)
def curve_of(name: str, factor: float = 0.0, cubic: float = 0.0) -> GatedCurve:
    """Return the curve of an operator; it is made on first use."""
    if name == "gelu_tanh":
        return gated_curve(*tanh_gate(factor, cubic))
    if name == "hard_swish":
        return GatedCurve(hard_swish, slope_of_hard_swish, -3.0, 3.0, -1.5)
    functions = {
        "gelu": (gelu, slope_of_gelu),
        "silu": (silu, slope_of_silu),
        "mish": (mish, slope_of_mish),
    }
    return gated_curve(*functions[name])


def of_node(node: Node) -> GatedCurve:
    """Return the curve of a node's operator, with the node's own numbers."""
    settings = (node["factor"], node["cubic"]) if node.op == "gelu_tanh" else ()
    return curve_of(node.op, *settings)


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    return of_node(node).value(x)


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    return range_of(of_node(node), box)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    box, curve = rows_dim(boxes[0]), of_node(node)
    return steady(gated_lines(curve, box, alpha), range_of(curve, box))


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    return box.upper > box.lower


def cut_point(node: Node, box: Interval) -> Tensor:
    """Return the nearer end of the convex part to the middle of each box."""
    curve, middle = of_node(node), (box.lower + box.upper) / 2
    ends = torch.full_like(middle, curve.first), torch.full_like(middle, curve.last)
    return torch.where((middle - ends[0]).abs() < (middle - ends[1]).abs(), *ends)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    A gate is at most 1 and errs relative to 1, and so does its argument, of at most 6 operations.
    So values err relative to x. Slopes are at most 3/2.
    """
    (box,) = boxes
    reach = reach_of(box)
    value, *lines = rounded_curve(node, reach, torch.full_like(reach, 1.5), box)
    return (Rounded(2 * value.size, FUNCTION + 16, 0), *lines)


for name in ("gelu", "gelu_tanh", "silu", "mish", "hard_swish"):
    register(
        Operator(
            name,
            forward,
            interval,
            relax=relax,
            initial=middle,
            unstable=unstable,
            cut_point=cut_point,
            rounded=rounded,
        )
    )
