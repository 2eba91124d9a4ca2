"""Intervals of linear operators from the centre and the radius of a box.

    f(box) = f(c) ± |W|·r        size = |W|·max(|l|, |u|) + |b|

with f(x) = W·x + b, c = (l + u)/2 and r = (u − l)/2 for a box [l, u]. Each rounding of f is
relative to the size. On a GPU all of them are computed in float64. There cuDNN either does not
transform the maps, or loses so little by it that the error does not show in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node

Forward = Callable[[Node, Weights, Tensor], Tensor]


def around_center(forward: Forward, node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `f(c) ± |W|·r` in the dtype of the box; `forward` computes f."""
    precise, wide = _precise(weights, box)
    return _ends(forward, node, precise, precise[0].abs(), wide, box.lower.dtype)


def sized_around_center(
    forward: Forward, node: Node, weights: Weights, box: Interval
) -> tuple[Interval, Tensor]:
    """Return `around_center`, and the size `|W|·max(|l|, |u|) + |b|` of each output."""
    dtype = box.lower.dtype
    precise, wide = _precise(weights, box)
    magnitudes = tuple(weight.abs() for weight in precise)
    reach = torch.maximum(wide.lower.abs(), wide.upper.abs())
    size = forward(node, magnitudes, reach).to(dtype)
    return _ends(forward, node, precise, magnitudes[0], wide, dtype), size


def _precise(weights: Weights, box: Interval) -> tuple[Weights, Interval]:
    if not launcher.on_gpu(box.lower):
        return weights, box
    doubled = tuple(weight.double() for weight in weights)
    return doubled, Interval(box.lower.double(), box.upper.double())


def _ends(
    forward: Forward,
    node: Node,
    weights: Weights,
    magnitude: Tensor,
    box: Interval,
    dtype: torch.dtype,
) -> Interval:
    middle = forward(node, weights, (box.upper + box.lower) / 2)
    radius = forward(node, (magnitude,), (box.upper - box.lower) / 2)
    return Interval((middle - radius).to(dtype), (middle + radius).to(dtype))
