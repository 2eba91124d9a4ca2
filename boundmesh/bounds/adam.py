"""Adam uphill (arXiv 1412.6980) for parameters `[D, …]` of many domains."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from boundmesh.rules import fused, pieces

BLOCK = 1024
KERNELS = "bounds.ascent_kernel"


def shares(step: int) -> tuple[float, float]:
    """What the two moments are divided by at a step, counted from 1, as they began at zero."""
    return 1 - 0.9**step, 1 - 0.999**step


class Adam:
    """The two moments of one tensor of parameters; `unit` keeps these in [0, 1], else they are kept
    from falling below zero."""

    def __init__(self, values: Tensor, *, unit: bool) -> None:
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.unit = unit

    def ascend(
        self, values: Tensor, gradient: Tensor, rate: float, scale: Tensor | None, step: int
    ) -> Tensor:
        """The values after one step, counted from 1, of `rate·scale` with scale `[D, 1, …]`; where
        the gradient is no number it is none. May write to `values`."""
        if pieces.applies(values):
            return self._in_place(values, gradient, rate, scale, step)
        first_share, second_share = shares(step)
        gradient = gradient.nan_to_num_(0.0)
        self.first.lerp_(gradient, 1 - 0.9)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        spread = (self.second / second_share).sqrt_().add_(1e-12)
        reach = rate if scale is None else rate * scale
        values = values + reach * (self.first / first_share).div_(spread)
        return values.clamp_(0, 1) if self.unit else values.clamp_(min=0)

    def keep(self, which: Tensor) -> None:
        """Go on with the domains `which` alone."""
        self.first, self.second = self.first[which], self.second[which]

    def _in_place(
        self,
        values: Tensor,
        gradient: Tensor,
        rate: float,
        scale: Tensor | None,
        step: int,
    ) -> Tensor:
        values, gradient, size = values.contiguous(), gradient.contiguous(), prod(values.shape[1:])
        if values.numel():
            kinds = scale is not None, self.unit, BLOCK
            places = values, gradient, self.first, self.second
            grid = len(values), -(-size // BLOCK), 1
            fused.start(
                fused.kernels(KERNELS).step, (fused.aligned(*places), *kinds), grid, values,
                *places, scale, size, float(rate), *shares(step), *kinds,
            )  # fmt: skip
        return values


def keep_winners(won: Tensor, values: Tensor, kept: Tensor) -> Tensor:
    """`values` for the domains that have `won` `[D]`, `kept` for the others, in the type of these;
    may write to `kept`."""
    if not pieces.applies(values):
        return torch.where(won.reshape(-1, *[1] * (values.dim() - 1)), values.to(kept.dtype), kept)
    values, size = values.contiguous(), prod(values.shape[1:])
    if values.numel():
        fused.start(
            fused.kernels(KERNELS).keep, (kept.dtype, fused.aligned(won, values, kept)),
            (len(values), -(-size // BLOCK), 1), values, won, values, kept, size, BLOCK,
        )  # fmt: skip
    return kept
