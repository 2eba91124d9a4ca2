"""Convolves gradients to rows in windows, in one kernel on GPUs that have Triton.

    y[b, i, c] = f[b]·v[c] + Σ_o,k x[b, s·i + d·k, o]·W[c, o, k]

It is the transpose of `fused_spread.spread`. Only gradients pass it, and they bound nothing, so its
products may be computed in TensorFloat-32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.kernels.fused_spread import FEATURES, block_of
from boundmesh.kernels.fused_windows import Reach, in_three

KERNELS = "kernels.collect_triton"


def collect(
    values: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    dilation: Sequence[int],
    front: Sequence[int],
    window: Sequence[int],
    reach: Reach,
    factors: Tensor | None = None,
    vector: Tensor | None = None,
    precision: str = "tf32",
) -> Tensor:
    """Collect values `[D, S, *places, O]` to `[D, S, *window, C]` with W `[C, O, *kernel]`.

    The values begin at the place `front` of every axis that the convolution reads. They are taken
    as zero elsewhere, and at the places that do not exist according to their `reach`. The product
    of `factors` `[D, S]` and `vector` `[C]` is added, if both are given. Each number is a sum over
    the taps and over blocks of features, in a fixed order.
    """
    domains, count, *places, features = values.shape
    channels, kernel = weight.shape[0], weight.shape[2:]
    out = values.new_empty(domains, count, *window, channels)
    if not out.numel():
        return out
    values, table = values.contiguous(), weight.flatten(2).permute(2, 1, 0).contiguous()
    has = factors is not None and vector is not None
    of_rows = factors.contiguous() if factors is not None and has else None
    block = block_of(features, channels)
    three = [in_three(each) for each in (places, window, kernel, stride, dilation)]
    high = -(-out.numel() // channels // block.high)
    grid = (high * -(-channels // block.wide), 1, 1)
    constants = (
        *three[2],
        *three[3],
        *three[4],
        has,
        block.high,
        block.wide,
        block.deep,
        precision,
    )
    version_key = (
        launcher.divisibility(channels),
        launcher.divisibility(features),
        block.warps,
        *constants,
    )
    launcher.start(
        launcher.module(KERNELS).collect,
        (launcher.aligned(values, table, out), *version_key), grid, out,
        values, table, reach.places, of_rows, vector if has else None, out, domains * count, count,
        channels, features, *three[1], *in_three(front, 0), three[0][0], *reach.spans, *constants,
        num_warps=block.warps, num_stages=3,
    )  # fmt: skip
    return out


def applies(values: Tensor, weight: Tensor, groups: int) -> bool:
    """Return True if the kernel can multiply the values, and may be used on their GPU."""
    return (
        launcher.on_gpu(values)
        and groups == 1
        and weight.shape[1] >= FEATURES
        and values.dtype == weight.dtype == torch.float32
        and launcher.usable(values.device, "sloped windows")
    )
