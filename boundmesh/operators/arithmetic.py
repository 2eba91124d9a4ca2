"""The operators constant, scale, shift, add and subtract, which work element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, monotone, same_partition
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Lengths
from boundmesh.operators.windows import PulledWindows, Windows


def constant(node: Node, weights: Weights) -> Tensor:
    """Return the constant as `[1, *shape]`; it is the same in every domain.

    `weights` holds the value, of the node's shape.
    """
    return weights[0].unsqueeze(0)


def pull_constant(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: there is no input, and the bias is `⟨A, value⟩`."""
    return Pulled((), inner(rows, weights[0].unsqueeze(0).unsqueeze(0)))


def pull_constant_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    return PulledWindows((), windows.inner(windows.read(weights[0].unsqueeze(0))))


def scale(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return `x·c`. `weights` holds c, broadcastable to the shape of x."""
    return x * weights[0]


def scale_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return `[min(l·c, u·c), max(l·c, u·c)]`."""
    low, high = box.lower * weights[0], box.upper * weights[0]
    return Interval(torch.minimum(low, high), torch.maximum(low, high))


def pull_scale(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: the coefficients are `A·c`."""
    return Pulled((rows * weights[0],))


def pull_scale_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    factor = windows.read(weights[0].expand(1, *node.shape))
    return PulledWindows((windows.with_coefficients(windows.coefficients * factor),))


def shift(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return `x + c`. `weights` holds c, broadcastable to the shape of x."""
    return x + weights[0]


def pull_shift(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: the coefficients are A, and the bias is `⟨A, c⟩`."""
    return Pulled((rows,), inner(rows, weights[0].expand(1, 1, *node.shape)))


def pull_shift_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    offset = windows.read(weights[0].expand(1, *node.shape))
    return PulledWindows((windows,), windows.inner(offset))


def add(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Return `x + y` for x and y of equal shape."""
    return x + y


def pull_add(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: the coefficients of both inputs are A."""
    return Pulled((rows, rows))


def pull_add_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    return PulledWindows((windows, windows))


def subtract(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Return `x − y` for x and y of equal shape."""
    return x - y


def subtract_interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    """Return `[lx − uy, ux − ly]`."""
    return Interval(x.lower - y.upper, x.upper - y.lower)


def pull_subtract(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows A back: the coefficients are A for the first input, and −A for the second."""
    return Pulled((rows, -rows))


def pull_subtract_windows(node: Node, weights: Weights, windows: Windows) -> PulledWindows:
    return PulledWindows((windows, windows.with_coefficients(-windows.coefficients)))


def constant_lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: rows are multiplied with the value, and the products are added up."""
    return Lengths(0, 1, node.size)


def shift_lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: one addition forward. Of pulled rows, only the bias is rounded."""
    return Lengths(1, 1, node.size)


def one_rounding(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: one operation forward, and at most one when rows are pulled back."""
    return Lengths(1, 1)


def one_forward(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: one operation forward, and none when rows are pulled back."""
    return Lengths(1)


CONSTANT = register(
    Operator(
        "constant",
        constant,
        monotone(constant),
        pull=pull_constant,
        pull_windows=pull_constant_windows,
        lengths=constant_lengths,
        rising=True,
        keeps_box=True,
    )
)


def all_ones(node: Node, weights: Sequence[np.ndarray]) -> bool:
    return bool((weights[0] == 1).all())


def all_zeros(node: Node, weights: Sequence[np.ndarray]) -> bool:
    return not weights[0].any()


register(
    Operator(
        "scale",
        scale,
        scale_interval,
        pull=pull_scale,
        pull_windows=pull_scale_windows,
        lengths=one_rounding,
        relative=True,
        keeps_box=True,
        partition=same_partition,
        is_identity=all_ones,
        constant="factor",
    )
)
register(
    Operator(
        "shift",
        shift,
        monotone(shift),
        pull=pull_shift,
        pull_windows=pull_shift_windows,
        lengths=shift_lengths,
        rising=True,
        keeps_box=True,
        partition=same_partition,
        is_identity=all_zeros,
        constant="offset",
    )
)
register(
    Operator(
        "add",
        add,
        monotone(add),
        pull=pull_add,
        pull_windows=pull_add_windows,
        keeps_rows=True,
        lengths=one_forward,
        rising=True,
        exact_on_box=True,
        partition=same_partition,
    )
)
register(
    Operator(
        "subtract",
        subtract,
        subtract_interval,
        pull=pull_subtract,
        pull_windows=pull_subtract_windows,
        lengths=one_forward,
        exact_on_box=True,
        partition=same_partition,
    )
)
