"""Constants, and sums and scalings element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.node import Node
from boundmesh.operators.operator import (
    Interval,
    Operator,
    Pulled,
    Weights,
    inner,
    monotone,
    register,
    same_partition,
)
from boundmesh.operators.rounding import Lengths


def constant(node: Node, weights: Weights) -> Tensor:
    """weights: value, `*shape` → `[1, *shape]`, the same in every domain."""
    return weights[0].unsqueeze(0)


def pull_constant(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """No input; the bias `⟨A, value⟩`."""
    return Pulled((), inner(rows, weights[0].unsqueeze(0).unsqueeze(0)))


def scale(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: c, broadcastable to the shape of x; `x·c`."""
    return x * weights[0]


def scale_interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """`[min(l·c, u·c), max(l·c, u·c)]`."""
    low, high = box.lower * weights[0], box.upper * weights[0]
    return Interval(torch.minimum(low, high), torch.maximum(low, high))


def pull_scale(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """`A·c`."""
    return Pulled((rows * weights[0],))


def shift(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """weights: c, broadcastable to the shape of x; `x + c`."""
    return x + weights[0]


def pull_shift(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """`A` and `⟨A, c⟩`."""
    return Pulled((rows,), inner(rows, weights[0].expand(1, 1, *node.shape)))


def add(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """`x + y`, of equal shape."""
    return x + y


def pull_add(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """`A` for both inputs."""
    return Pulled((rows, rows))


def subtract(node: Node, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """`x − y`, of equal shape."""
    return x - y


def subtract_interval(node: Node, weights: Weights, x: Interval, y: Interval) -> Interval:
    """`[lx − uy, ux − ly]`."""
    return Interval(x.lower - y.upper, x.upper - y.lower)


def pull_subtract(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """`A` for the first input, `−A` for the second."""
    return Pulled((rows, -rows))


def constant_lengths(node: Node, weights: Weights) -> Lengths:
    """Rows are multiplied with the value and added up."""
    return Lengths(0, 1, node.size)


def shift_lengths(node: Node, weights: Weights) -> Lengths:
    """One sum forward; rows stay as they are but for their bias."""
    return Lengths(1, 1, node.size)


def one_rounding(node: Node, weights: Weights) -> Lengths:
    """One operation forward, and one, at most, on the way back."""
    return Lengths(1, 1)


def one_forward(node: Node, weights: Weights) -> Lengths:
    """One operation forward; rows stay as they are."""
    return Lengths(1)


CONSTANT = register(
    Operator(
        "constant",
        constant,
        monotone(constant),
        pull=pull_constant,
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
        lengths=one_rounding,
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
        lengths=one_forward,
        exact_on_box=True,
        partition=same_partition,
    )
)
