"""Ascending steps of Adam (arXiv 1412.6980) for parameters `[D, …]` of many domains.

β-CROWN steps its α and β here. α-CROWN takes only `StepSizes` from here; `Slope.ascend` in
`bounds/relaxation/slopes.py` steps its slopes.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from boundmesh.kernels import launcher, pieces

BLOCK = 1024
KERNELS = "kernels.adam_triton"


class StepSizes:
    """The sizes of the next n steps, in a tensor on the device that recorded work reads.

    steps  `[n, 3]`, for each step: the learning rate, and the bias corrections by which the two
           moments are divided, `1 − 0.9^t` and `1 − 0.999^t` at step t, counted from 1
    """

    def __init__(self, count: int, like: Tensor) -> None:
        self.steps = like.new_zeros(count, 3)

    def set(self, *coming: tuple[float, int]) -> None:
        """Set the rate and the number t of every step; the host does not wait for the device."""
        rows = [(rate, 1 - 0.9**step, 1 - 0.999**step) for rate, step in coming]
        said = torch.tensor(rows, dtype=self.steps.dtype, pin_memory=self.steps.is_cuda)
        self.steps.copy_(said, non_blocking=True)


class Adam:
    """The two moments of one tensor of parameters.

    If `unit` is true, parameters are clamped to [0, 1] after each step, and otherwise to [0, ∞).
    """

    def __init__(self, values: Tensor, *, unit: bool) -> None:
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.unit = unit

    def ascend(
        self, values: Tensor, gradient: Tensor, pace: Tensor, scale: Tensor | None
    ) -> Tensor:
        """Return the values after one step; `values` and `gradient` may be overwritten.

        `pace` `[3]` is one row of `StepSizes.steps`. The rate is multiplied by `scale` `[D, 1, …]`,
        if it is given. A gradient of NaN counts as zero.
        """
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
        """Drop the moments of all domains except `which`."""
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
    """Write the `values` of the domains where `won` `[D]` is true to `kept`, and return it."""
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
