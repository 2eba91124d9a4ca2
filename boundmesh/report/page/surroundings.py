"""Finds the point and the radius from which a region was made, so that it can be told in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from boundmesh.property import Ball, Box

ROUGH = 2e-5
"""Files have decimals with about five digits: ranges differ by less than this share of the widest
one, where they were made with one radius."""
OF_BYTES = 255


@dataclass(frozen=True)
class Surroundings:
    """All inputs near a point.

    center  the point, flat float64
    radii   the radius, or one for each channel
    norm    1, 2 or ∞
    clip    the range that inputs are cut to; None without one
    """

    center: np.ndarray
    radii: tuple[float, ...]
    norm: float
    clip: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """Describe the radius, as in `0.03` or `0.03137 (8/255)`."""
        texts = [of_radius(radius) for radius in self.radii]
        return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def of_radius(radius: float) -> str:
    """Write a radius; one that is a fraction of 255, not a short decimal, as a fraction, too."""
    short = abs(float(f"{radius:.3g}") - radius) <= 1e-6 * radius
    part = radius * OF_BYTES
    if short or radius >= 1 or round(part) < 1 or abs(part - round(part)) > 1e-3:
        return f"{radius:.4g}"
    return f"{radius:.4g} ({round(part)}/255)"


def surroundings(region: Box | Ball, channel: np.ndarray | None = None) -> Surroundings | None:
    """Return the point and radius that a region was made from, or None where there are none.

    `channel` holds the channel of each flat input: where there is no single radius, there may be
    one for each channel.
    """
    if isinstance(region, Ball):
        center, radii = region.center.reshape(-1), (float(region.radius),)
        return Surroundings(center, radii, region.p, region.clip)
    lower, upper = region.inner
    whole = _around(lower, upper)
    if whole is not None or channel is None:
        return whole
    parts = [_around(lower[channel == c], upper[channel == c]) for c in np.unique(channel)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    center = np.empty(lower.size)
    for c, part in zip(np.unique(channel), known, strict=True):
        center[channel == c] = part.center
    return Surroundings(center, tuple(part.radii[0] for part in known), math.inf)


def middle(region: Box | Ball) -> np.ndarray:
    """Return the middle of a region, flat float64."""
    if isinstance(region, Ball):
        return np.asarray(region.center, dtype=np.float64).reshape(-1)
    lower, upper = region.inner
    return np.asarray(lower / 2 + upper / 2)


def ranges(region: Box | Ball) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat ends between which each input lies."""
    return region.box.inner if isinstance(region, Ball) else region.inner


def _around(lower: np.ndarray, upper: np.ndarray) -> Surroundings | None:
    """Return the point and radius of a box whose ranges may be cut at both ends of one range."""
    width = upper - lower
    radius = float(width.max(initial=0)) / 2
    if radius == 0:
        return None
    near = radius * ROUGH + 2e-6 * (radius < 1)
    low, high = float(lower.min()), float(upper.max())
    cut = width < 2 * (radius - near)
    center = lower / 2 + upper / 2
    below, above = cut & (lower <= low + near), cut & (upper >= high - near)
    if (cut & ~below & ~above).any():
        return None
    center = np.where(above, lower + radius, np.where(below, upper - radius, center))
    if ((center < low - near) | (center > high + near)).any():
        return None
    middles = np.clip(center, low, high)
    return Surroundings(middles, (_rounded(radius),), math.inf, (low, high) if cut.any() else None)


def _rounded(radius: float) -> float:
    """Return the decimal with few digits that a radius was computed from, where one is near."""
    short = float(Fraction(f"{radius:.5g}"))
    return short if abs(short - radius) <= ROUGH * radius else radius
