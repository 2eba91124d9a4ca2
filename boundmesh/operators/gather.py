"""The operator gather, which selects neurons by their places, some of them several times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boundmesh.kernels.once import forbid_in_recording
from boundmesh.operators.common_rules import Weights, monotone, other_axis
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Lengths
from boundmesh.operators.window_strides import pull_gather_windows

Index = tuple[int, ...]


@lru_cache(maxsize=256)
def index_tensor(index: Index, device: torch.device) -> Tensor:
    """Return the places as a tensor `[len(index)]` of int64 on a device."""
    forbid_in_recording()
    return torch.tensor(index, dtype=torch.long, device=device)


@lru_cache(maxsize=256)
def inverse_table(index: Index, length: int, device: torch.device) -> tuple[Tensor, ...]:
    """Return the places of each of `length` inputs in `index`.

    The k-th tensor, `[length]`, holds the k-th place of each input. An input with fewer places has
    `len(index)` there, which is one past the end.
    """
    forbid_in_recording()
    places: list[list[int]] = [[] for _ in range(length)]
    for place, source in enumerate(index):
        places[source].append(place)
    depth = max((len(found) for found in places), default=0)
    columns = (
        [found[k] if k < len(found) else len(index) for found in places] for k in range(depth)
    )
    return tuple(torch.tensor(column, dtype=torch.long, device=device) for column in columns)


class Pick(torch.autograd.Function):
    """`x[index]` along a dim. Its gradient is `ScatterNeurons`, which always adds in one order.

    torch's own gradient would add with atomics, whose order varies.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int, index: Index) -> Tensor:
        return x.index_select(dim, index_tensor(index, x.device))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.dim, ctx.index = inputs
        ctx.length = x.shape[ctx.dim]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ScatterNeurons.apply(gradient, ctx.dim, ctx.index, ctx.length), None, None


class ScatterNeurons(torch.autograd.Function):
    """The transpose of `Pick`: each input is the sum over its places, always in the same order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, dim: int, index: Index, length: int) -> Tensor:
        columns = inverse_table(index, length, rows.device)
        if not columns:
            return rows.new_zeros([length if d == dim else n for d, n in enumerate(rows.shape)])
        if len(columns) * length > len(index):
            zero = rows.new_zeros([1 if d == dim else n for d, n in enumerate(rows.shape)])
            rows = torch.cat((rows, zero), dim)
        total = rows.index_select(dim, columns[0])
        for column in columns[1:]:
            total += rows.index_select(dim, column)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, ctx.dim, ctx.index, _ = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return Pick.apply(gradient, ctx.dim, ctx.index), None, None, None


def gather(node: Node, weights: Weights, x: Tensor) -> Tensor:
    """Return the neurons `index` of x along `axis`. A neuron may occur several times."""
    result: Tensor = Pick.apply(x, node["axis"] + 1, node["index"])
    return result


def pull_gather(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    """Pull rows back: the coefficient of an input is the sum over the places where it occurs."""
    axis = node["axis"]
    return Pulled(
        (ScatterNeurons.apply(rows, axis + 2, node["index"], node.input_shapes[0][axis]),)
    )


def gather_lengths(node: Node, weights: Weights) -> Lengths:
    """Count the roundings: the coefficients of a neuron that occurs several times are added up."""
    return Lengths(0, max(Counter(node["index"]).values(), default=1) - 1)


def picks_all(node: Node, weights: Sequence[np.ndarray]) -> bool:
    """Return True if the output is the input: every neuron is selected once, in order."""
    result: bool = node["index"] == tuple(range(node.shape[node["axis"]]))
    return result


register(
    Operator(
        "gather",
        gather,
        monotone(gather),
        pull=pull_gather,
        pull_windows=pull_gather_windows,
        lengths=gather_lengths,
        rising=True,
        partition=other_axis,
        is_identity=picks_all,
    )
)
