"""Maps boxes and unit rows through a linear weight by kernels, each in one pass over memory."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.kernels.fused_rows import BLOCK, KERNELS

# The kernel reads the whole weight for each box. With more boxes than this one matrix product is
# faster.
FEW_BOXES = 8


def few_boxes(box: Tensor) -> bool:
    """Return True if `interval` can be used for boxes whose lower ends are `box` `[*, in]`."""
    few = 0 < box.numel() <= FEW_BOXES * box.shape[-1] and not box.requires_grad
    return (
        few and launcher.on_gpu(box) and box.dtype == torch.float32 and launcher.usable(box.device)
    )


def interval(
    weight: Tensor, bias: Tensor | None, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Return `W·c + b ± |W|·r`, with c the centre and r the radius: `[*, in]` → `[*, out]`."""
    outputs, inputs = weight.shape
    weight = weight if weight.stride(1) == 1 else weight.contiguous()
    flat = [each.reshape(-1, inputs).contiguous() for each in (lower, upper)]
    found = [each.new_empty(*lower.shape[:-1], outputs) for each in flat]
    if found[0].numel():
        height, begin = weight.stride(0), launcher.aligned(weight, *flat)
        version_key = (
            bias is not None,
            launcher.divisibility(inputs),
            launcher.divisibility(height),
            begin,
        )
        launcher.start(
            launcher.module(KERNELS).interval_rows, version_key, (outputs, len(flat[0]), 1), weight,
            weight, bias, *flat, *found, outputs, inputs, height, bias is not None, BLOCK,
        )  # fmt: skip
    return found[0], found[1]


def units(weight: Tensor, bias: Tensor | None, sign: Tensor) -> bool:
    """Return True if `unit_rows` can be used: float32 on a GPU, and no gradients."""
    wanted = weight.requires_grad or sign.requires_grad or (bias is not None and bias.requires_grad)
    return (
        launcher.on_gpu(weight)
        and weight.dtype == torch.float32
        and weight.stride(1) == 1
        and weight.shape[1] > 0
        and len(sign) > 0
        and not wanted
        and launcher.usable(weight.device)
    )


def unit_rows(
    weight: Tensor, bias: Tensor | None, index: Tensor, sign: Tensor, low: int
) -> tuple[Tensor, Tensor | None]:
    """Return `sign·W[index − low]` `[S, in]` and `sign·b[index]` `[S]`.

    W holds the outputs from `low` on, and b holds all outputs.
    """
    count, size, height = len(index), weight.shape[1], weight.stride(0)
    index, sign = index.contiguous(), sign.contiguous()
    out = weight.new_empty(count, size)
    out_bias = None if bias is None else weight.new_empty(count)
    version_key = (
        bias is not None,
        launcher.divisibility(size),
        launcher.divisibility(height),
        launcher.aligned(weight),
    )
    launcher.start(
        launcher.module(KERNELS).unit_rows, version_key, (count, -(-size // BLOCK), 1), weight,
        weight, bias, index, sign, out, out_bias, low, size, height, bias is not None, BLOCK,
    )  # fmt: skip
    return out, out_bias
