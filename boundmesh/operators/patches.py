"""Transposed convolutions whose windows do not overlap, as for the patches of a transformer.

Each window is a separate product, y[b, o, s·i + k] = Σ_c x[b, c, i]·W[c, o, k]. On a CPU, general
algorithms take over ten times as long for large windows (`docs/measurements.md`).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from boundmesh.operators.linear import times
from boundmesh.operators.node import Node


def apart(node: Node, weight: Tensor) -> bool:
    """Return True if the windows of W `[C, O, *kernel]` lie side by side, without padding."""
    kernel = tuple(weight.shape[2:])
    return (
        kernel == tuple(node["stride"])
        and max(kernel) > 1
        and node["groups"] == 1
        and all(step == 1 for step in node["dilation"])
        and all(width == 0 for pair in node["padding"] for width in pair)
    )


def scatter_patches(x: Tensor, weight: Tensor, extra: list[int], bias: Tensor | None) -> Tensor:
    """Return the transposed convolution: `[B, C, *spatial]` → `[B, O, *(spatial·kernel + extra)]`.

    The last `extra` places of each axis hold zero, or the bias.
    """
    (count, _, *spatial), (_, outputs, *kernel) = x.shape, weight.shape
    windows = times(x.movedim(1, -1), weight.flatten(1).mT).view(count, *spatial, outputs, *kernel)
    axes = range(len(spatial))
    order = [0, 1 + len(axes), *(place for a in axes for place in (1 + a, 2 + len(axes) + a))]
    lengths = [n * k for n, k in zip(spatial, kernel, strict=True)]
    y = windows.permute(order).reshape(count, outputs, *lengths)
    if any(extra):
        y = functional.pad(y, [width for more in reversed(extra) for width in (0, more)])
    return y if bias is None else y + bias.reshape(-1, *[1] * len(axes))
