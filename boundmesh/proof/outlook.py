"""Predicts from the steps of an optimisation so far whether its further steps are worth their time.

The gains of an ascent shrink about geometrically. Let g₁ and g₂ be what a margin gained in the last
two windows of `WINDOW` steps, and r = min(g₂/g₁, 1). In the n windows that are left it gains about

    g₂·(r + r² + … + rⁿ)

A search splits what is left open in any case, and needs more domains the lower the margin is. So
steps are worth their time if some margin is likely to reach zero, or to lose a good share of what
is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

WINDOW = 2
SHARE = 0.02
"""Steps that win less than this share of every missing margin are not worth their time."""


def coming_gains(margins: Sequence[Tensor], left: int) -> Tensor | None:
    """Predict how much each margin `[n]` gains in `left` further steps.

    `margins` holds those before the first step and after each. The result is None while there are
    too few, and infinite for a margin that was not finite.
    """
    if len(margins) <= 2 * WINDOW:
        return None
    before, middle, now = (margins[-1 - back] for back in (2 * WINDOW, WINDOW, 0))
    first, last = (middle - before).clamp(min=0), (now - middle).clamp(min=0)
    ratio = (last / first).nan_to_num(nan=0.0, posinf=1.0).clamp(max=1)
    windows = left / WINDOW
    # Where the ratio is near 1, the sum of the powers is their number.
    powers = ratio * (1 - ratio**windows) / (1 - ratio)
    coming = last * torch.where(ratio > 1 - 1e-6, windows, powers)
    return torch.where(before.isfinite() & now.isfinite(), coming, torch.inf)


def worthwhile(
    margins: Sequence[Tensor], left: int, known: Tensor | None = None, *, hurried: bool = False
) -> bool:
    """Return True if further steps may decide an open margin, or come much nearer to that.

    A margin above zero is decided. `known` `[n]` are the best margins by any means, where these may
    be better than the ascent's own. An ascent that lags behind by more than what is missing is not
    worth a step. If `hurried` is true, only steps that decide a margin are worth their time.
    """
    known = margins[-1] if known is None else torch.fmax(known, margins[-1])
    missing, lag = -known, known - margins[-1]
    still = ~(missing < 0)
    if not bool(still.any()):
        return True
    coming = coming_gains(margins, left)
    if coming is None:
        return bool((still & ~(lag > missing)).any())
    share = 1.0 if hurried else SHARE
    return bool((still & ~(coming - lag < share * missing)).any())
