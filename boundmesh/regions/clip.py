"""The range that every input of a region is cut to."""

from __future__ import annotations

import math
from typing import Any

from boundmesh.errors import PropertyError
from boundmesh.rational import unwrapped


def ends_of(clip: Any) -> tuple[float, float]:
    """Return the two ends of a clip, which may be infinite; PropertyError for anything else."""
    try:
        low, high = clip
    except (TypeError, ValueError, RuntimeError):
        low, high = math.nan, math.nan
    low, high = unwrapped(low), unwrapped(high)
    if isinstance(low, int | float) and isinstance(high, int | float) and low <= high:
        return low, high
    raise PropertyError(f"the clip is {clip!r:.80}; expected two numbers, the smaller one first")
