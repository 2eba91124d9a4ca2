"""Adam uphill (arXiv 1412.6980) for parameters `[D, …]` of many domains."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher, pieces

BLOCK = 1024
KERNELS = "kernels.adam_triton"


class StepSizes:
    """How the coming steps go, as numbers on the device, which recorded work reads anew each time.

    steps  `[n, 3]`   of each step the rate, and what the two moments are divided by, as they began
                      at zero: `1 − 0.9^t` and `1 − 0.999^t` at step t, counted from 1
    """

    def __init__(self, count: int, like: Tensor) -> None:
        self.steps = like.new_zeros(count, 3)

    def set(self, *coming: tuple[float, int]) -> None:
        """The rate of every step, and which it is; the host does not wait for the device."""
        rows = [(rate, 1 - 0.9**step, 1 - 0.999**step) for rate, step in coming]
        said = torch.tensor(rows, dtype=self.steps.dtype, pin_memory=self.steps.is_cuda)
        self.steps.copy_(said, non_blocking=True)


class Adam:
    """The two moments of one tensor of parameters; `unit` keeps these in [0, 1], else they are kept
    from falling below zero."""

    def __init__(self, values: Tensor, *, unit: bool) -> None:
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.unit = unit

    def ascend(
        self, values: Tensor, gradient: Tensor, pace: Tensor, scale: Tensor | None
    ) -> Tensor:
        """The values after a step at a `Pace`'s `[3]`, its rate times scale `[D, 1, …]`; where the
        gradient is no number it is none. May write to `values`."""
        if pieces.applies(values):
            return self._in_place(values, gradient, pace, scale)
        rate, first_share, second_share = pace
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
        self, values: Tensor, gradient: Tensor, pace: Tensor, scale: Tensor | None
    ) -> Tensor:
        values, gradient, size = values.contiguous(), gradient.contiguous(), prod(values.shape[1:])
        if values.numel():
            kinds = scale is not None, self.unit, BLOCK
            places = values, gradient, self.first, self.second
            grid = len(values), -(-size // BLOCK), 1
            launcher.start(
                launcher.module(KERNELS).step, (launcher.aligned(*places), *kinds), grid, values,
                *places, scale, pace, size, *kinds,
            )  # fmt: skip
        return values


def keep_winners(won: Tensor, values: Tensor, kept: Tensor) -> Tensor:
    """`kept`, to which the `values` of the domains that have `won` `[D]` are written."""
    if not pieces.applies(values):
        won = won.reshape(-1, *[1] * (values.dim() - 1))
        return torch.where(won, values.to(kept.dtype), kept, out=kept)
    values, size = values.contiguous(), prod(values.shape[1:])
    if values.numel():
        launcher.start(
            launcher.module(KERNELS).keep, (kept.dtype, launcher.aligned(won, values, kept)),
            (len(values), -(-size // BLOCK), 1), values, won, values, kept, size, BLOCK,
        )  # fmt: skip
    return kept
