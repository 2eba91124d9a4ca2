"""Maps as the elements of their windows: what a pool or a convolution reads at each place.

A node that reads windows has the attributes `kernel`, `stride` and `dilation`, a number per spatial
axis, and `padding`, the widths before and after each axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from boundmesh.operators.node import Node, Shape

Places = tuple[EllipsisType | slice, ...]
"""An index of a tensor."""


def counts(node: Node) -> Shape:
    """Return how many windows fit along each spatial axis of the node's input."""
    return tuple(
        (length + before + after - dilation * (kernel - 1) - 1) // stride + 1
        for length, (before, after), kernel, stride, dilation in zip(
            node.input_shapes[0][2:],
            node["padding"],
            node["kernel"],
            node["stride"],
            node["dilation"],
            strict=True,
        )
    )


def elements(node: Node, many: Sequence[int], after: int = 0) -> Iterator[Places]:
    """Return, for each element of the kernel, where `many` windows along each axis read it.

    It is an index of maps with their padding, `[*, *spatial]`, with `after` more dims at the end.
    """
    for element in product(*map(range, node["kernel"])):
        along = (
            slice(first * dilation, first * dilation + stride * (count - 1) + 1, stride)
            for first, dilation, stride, count in zip(
                element, node["dilation"], node["stride"], many, strict=True
            )
        )
        yield (..., *along, *(slice(None),) * after)


def padded(node: Node, maps: Tensor, value: float) -> Tensor:
    """Return maps `[*, *spatial]` with `value` at the places of the padding."""
    widths = [width for pair in reversed(node["padding"]) for width in pair]
    return functional.pad(maps, widths, value=value) if any(widths) else maps


def unfolded(node: Node, maps: Tensor, value: float) -> Tensor:
    """Return the elements of all windows of maps `[*, *spatial]`, `[*, K, *counts]`.

    K is the number of elements of the kernel, in row-major order. Those of the padding have
    `value`.
    """
    wide = padded(node, maps, value)
    return torch.stack(tuple(wide[element] for element in elements(node, counts(node))), _dim(node))


def folded(node: Node, parts: Iterator[Tensor]) -> Tensor:
    """Return maps `[*, *spatial]` from one part `[*, *counts]` for each element of the kernel.

    It is the transpose of `unfolded`: each place holds the sum of its parts, in their order, and
    those of the padding are dropped.
    """
    if torch.is_grad_enabled():
        result: Tensor = _Folded.apply(node, *parts)
        return result
    return _folded(node, parts)


def _folded(node: Node, parts: Iterator[Tensor]) -> Tensor:
    lengths, total = node.input_shapes[0][2:], None
    for element, part in zip(elements(node, counts(node)), parts, strict=True):
        if total is None:
            wide = [n + sum(pair) for n, pair in zip(lengths, node["padding"], strict=True)]
            total = part.new_zeros(*part.shape[: part.dim() - len(wide)], *wide)
        total[element] += part
    assert total is not None
    for dim, (length, (before, _)) in enumerate(zip(lengths, node["padding"], strict=True)):
        total = total.narrow(dim - len(lengths), before, length)
    return total


class _Folded(torch.autograd.Function):
    """`folded`, whose gradient is `unfolded`."""

    @staticmethod
    def forward(ctx: Any, node: Node, *parts: Tensor) -> Tensor:
        ctx.node = node
        return _folded(node, iter(parts))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *unfolded(ctx.node, gradient, 0.0).unbind(_dim(ctx.node))


def _dim(node: Node) -> int:
    """Return the dim of the elements of the kernel, counted from the last."""
    return -1 - len(node["kernel"])
